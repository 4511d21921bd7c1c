//! Where a running local network leaves word of itself, and where receipts go.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use assay_worker::{
    client::{Jobs, Network, Registry},
    config::RootKey,
    identity::{self, Key},
};
use candid::Principal;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// The state folder: `ASSAY_HOME`, else `assay` in the user's data folder.
#[derive(Clone, Debug)]
pub(crate) struct Home(pub(crate) PathBuf);

/// What a running network says about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpFile {
    /// Where it answers.
    pub url: String,
    /// Its root key, DER in hexadecimal.
    pub root_key: String,
    /// The registry canister.
    pub registry: String,
    /// The jobs canister.
    pub jobs: String,
    /// The purse canister.
    pub purse: String,
    /// The model that its workers offer.
    pub model: String,
    /// A key whose balance in the jobs canister pays for questions.
    pub requester: PathBuf,
    /// The key that controls the canisters.
    pub operator: PathBuf,
    /// The process that runs it.
    pub pid: u32,
    /// The web app, where it is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<UpPage>,
}

/// Where the web app of a running network is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpPage {
    /// Its canister.
    pub canister: String,
    /// Its address in a browser.
    pub url: String,
    /// The model for those who run it on their device.
    pub model: PathBuf,
    /// Where the page finds it.
    pub served: String,
}

/// A running network, as its users reach it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) up: UpFile,
    pub(crate) root_key: Vec<u8>,
    pub(crate) registry: Registry,
    pub(crate) jobs: Jobs,
    pub(crate) key: Key,
}

impl Home {
    /// The folder as the environment names it.
    pub(crate) fn find() -> Self {
        let dir = env::var_os("ASSAY_HOME")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
            .or_else(|| data_dir().map(|data| data.join("assay")));
        Self(dir.unwrap_or_else(|| PathBuf::from(".assay")))
    }

    /// Makes the folder, readable by this user alone.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        private_dir(&self.0)
    }

    /// Where a running network leaves word.
    pub(crate) fn up_file(&self) -> PathBuf {
        self.0.join(UpFile::NAME)
    }

    /// Where the receipt of a job goes.
    pub(crate) fn receipt_file(&self, job: u64) -> PathBuf {
        self.0.join(format!("receipt-{job}.json"))
    }

    /// Compiled canister modules, so that the next start is quick.
    pub(crate) fn module_cache(&self) -> PathBuf {
        self.0.join("modules")
    }

    /// Connects to the running network as its requester.
    pub(crate) async fn running(&self) -> Result<Running, Failure> {
        self.running_as(None).await
    }

    /// The same as the owner of this key, if one is named.
    pub(crate) async fn running_as(&self, identity: Option<&Path>) -> Result<Running, Failure> {
        self.running_by(identity, |up| &up.requester).await
    }

    /// The same as who controls the canisters, if no key is named.
    pub(crate) async fn running_as_operator(
        &self,
        identity: Option<&Path>,
    ) -> Result<Running, Failure> {
        self.running_by(identity, |up| &up.operator).await
    }

    async fn running_by(
        &self,
        identity: Option<&Path>,
        default: impl Fn(&UpFile) -> &PathBuf,
    ) -> Result<Running, Failure> {
        let path = self.up_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::NoNetwork { path });
            }
            Err(error) => return Err(Failure::Io { path, error }),
        };
        let damaged = |problem: String| Failure::Damaged {
            path: path.clone(),
            problem: format!("{problem}; remove the file and start `assay up` again"),
        };
        let up: UpFile = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let root_key = hex::decode(&up.root_key)
            .map_err(|_| damaged("root_key is not hexadecimal".to_owned()))?;
        let canister = |text: &str| {
            Principal::from_text(text)
                .map_err(|_| damaged(format!("{text:?} is not a canister id")))
        };
        let (registry, jobs) = (canister(&up.registry)?, canister(&up.jobs)?);
        let key = identity::load(identity.unwrap_or(default(&up)))?;
        let network =
            Network::connect(&up.url, Some(&key), &RootKey::Given(root_key.clone())).await?;
        network.ping().await?;
        Ok(Running {
            registry: Registry::new(&network, registry),
            jobs: Jobs::new(&network, jobs),
            up,
            root_key,
            key,
        })
    }
}

impl UpFile {
    /// Its name in the state folder.
    pub const NAME: &str = "up.json";

    /// Writes it where only this user reads it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        save_json(self, path)
    }
}

/// Writes plain data as JSON, so that whoever reads the file finds all of it or what was there before.
pub(crate) fn save_json(data: &impl Serialize, path: &Path) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(data).expect("BUG: plain data always becomes JSON");
    let part = path.with_extension("part");
    fs::write(&part, text + "\n")
        .and_then(|()| fs::rename(&part, path))
        .map_err(Failure::io(path))
}

/// Makes a folder that only this user reads.
pub(crate) fn private_dir(path: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path).map_err(Failure::io(path))
}

fn data_dir() -> Option<PathBuf> {
    env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")))
}
