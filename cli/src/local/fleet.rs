//! Worker processes: real daemons, each with a folder, a key and settings of its own.
//!
//! Each worker's standard input is a pipe that this process holds. However this process ends, the pipe closes and the
//! worker stops, so none is ever left behind.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use assay_protocol::lease::Idle;
use assay_worker::{backend::TensixFile, cheat::Cheat, client::Jobs, doctor};
use candid::Principal;
use serde::Serialize;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{Canisters, MarketOptions, ProviderPlan};
use crate::Failure;

/// How long workers may take to be ready: opening a model takes most of it.
const READY_SECONDS: u64 = 120;
/// How long a worker may take to end before it is killed.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How much of a log is shown.
const TAIL_LINES: usize = 12;

/// The program that worker processes run.
#[derive(Clone, Debug)]
pub struct Launcher {
    program: PathBuf,
    first: Vec<&'static str>,
}

impl Launcher {
    /// This worker program.
    pub fn program(path: PathBuf) -> Self {
        Self {
            program: path,
            first: Vec::new(),
        }
    }

    /// `assay-worker` beside this program; where there is none, this program itself, which holds the same daemon.
    pub fn beside_this_program() -> Result<Self, Failure> {
        let this = std::env::current_exe().map_err(Failure::io("assay"))?;
        let beside = this.with_file_name(format!("assay-worker{}", std::env::consts::EXE_SUFFIX));
        Ok(if beside.is_file() {
            Self::program(beside)
        } else {
            Self {
                program: this,
                first: vec!["worker"],
            }
        })
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.program.is_file() {
            Ok(())
        } else {
            Err(Failure::NoWorkerProgram {
                path: self.program.clone(),
            })
        }
    }
}

/// Prices in cycles per 1,000 tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asks {
    /// Read.
    pub input: u64,
    /// Generated.
    pub output: u64,
}

impl Asks {
    /// Prices near each other, no two alike.
    pub fn ordinary(i: usize) -> Self {
        let i = i as u64 % 32;
        Self {
            input: 100_000_000 + i * 1_000_000,
            output: 1_000_000_000 + i * 10_000_000,
        }
    }
}

/// All worker processes of a market.
#[derive(Debug)]
pub struct Fleet {
    launcher: Launcher,
    dir: PathBuf,
    common: Common,
    processes: BTreeMap<String, Process>,
}

#[derive(Debug)]
struct Common {
    url: String,
    root_key: String,
    registry: String,
    jobs: Vec<String>,
    model_name: String,
    model_file: PathBuf,
    threads: u16,
}

/// One worker and its owner.
#[derive(Debug)]
pub struct Process {
    /// The owner.
    pub provider: Principal,
    /// The worker's own key.
    pub operator: Principal,
    /// What it does wrong, if anything.
    pub cheat: Option<Cheat>,
    place: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Its folder: settings, keys, state and log.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.place.join("worker.log")
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }
}

impl Fleet {
    pub(super) fn new(
        options: &MarketOptions,
        url: &str,
        root_key: &[u8],
        canisters: &Canisters,
        model_name: &str,
    ) -> Self {
        Self {
            launcher: options.launcher.clone(),
            dir: options.dir.join("workers"),
            common: Common {
                url: url.to_owned(),
                root_key: hex::encode(root_key),
                registry: canisters.registry.to_text(),
                jobs: vec![canisters.jobs.to_text()],
                model_name: model_name.to_owned(),
                model_file: options.model.clone(),
                threads: options.threads,
            },
            processes: BTreeMap::new(),
        }
    }

    /// Lets workers that are configured from now on serve another jobs canister.
    pub(super) fn add_shard(&mut self, shard: Principal) {
        self.common.jobs.push(shard.to_text());
    }

    /// The workers by their providers' names.
    pub fn processes(&self) -> &BTreeMap<String, Process> {
        &self.processes
    }

    /// The name of the provider with this principal.
    pub fn name_of(&self, provider: &Principal) -> Option<&str> {
        self.processes
            .iter()
            .find(|(_, process)| process.provider == *provider)
            .map(|(name, _)| name.as_str())
    }

    /// The folder of a provider.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.dir.join(name.to_lowercase().replace(' ', "-"))
    }

    /// Writes the settings of a worker whose key lies in its folder.
    pub(super) fn add(
        &mut self,
        plan: &ProviderPlan,
        provider: Principal,
        operator: Principal,
    ) -> Result<(), Failure> {
        let place = self.place(&plan.name);
        self.processes.insert(
            plan.name.clone(),
            Process {
                provider,
                operator,
                cheat: None,
                place,
                child: None,
            },
        );
        self.configure(plan)
    }

    /// Writes the settings of a worker anew; they count from its next start.
    pub fn configure(&mut self, plan: &ProviderPlan) -> Result<(), Failure> {
        let Some(process) = self.processes.get_mut(&plan.name) else {
            return Ok(());
        };
        let settings = Settings::new(&self.common, &process.place, plan);
        let path = process.place.join("worker.toml");
        let text = toml::to_string(&settings).expect("BUG: settings always become TOML");
        fs::write(&path, text).map_err(Failure::io(path))?;
        process.cheat = plan.cheat;
        Ok(())
    }

    /// Waits until a worker's process has ended by itself, and says how; `None` if it does not run.
    pub async fn ended(&mut self, name: &str) -> Option<ExitStatus> {
        let process = self.processes.get_mut(name)?;
        let status = process.child.as_mut()?.wait().await.ok();
        process.child = None;
        status
    }

    /// Starts a worker that does not run.
    pub fn start(&mut self, name: &str) -> Result<(), Failure> {
        let Some(process) = self.processes.get_mut(name) else {
            return Ok(());
        };
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(process.log())
            .map_err(Failure::io(process.log()))?;
        let mut command = Command::new(&self.launcher.program);
        command
            .args(&self.launcher.first)
            .args(["run", "--until-stdin-closes", "--config"])
            .arg(process.place.join("worker.toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        // Settings come from the file alone.
        for variable in [
            "URL",
            "STATE_DIR",
            "IDENTITY",
            "SLOTS",
            "THREADS",
            "GRACE_SECONDS",
            "LOG_FORMAT",
            "LOG",
            "CONFIG",
        ] {
            command.env_remove(format!("ASSAY_WORKER_{variable}"));
        }
        // Ctrl-C reaches this process only, which then stops the workers in order.
        #[cfg(unix)]
        command.process_group(0);
        process.child = Some(
            command
                .spawn()
                .map_err(Failure::io(&self.launcher.program))?,
        );
        Ok(())
    }

    /// Waits until the named workers announce free slots, or one of them ends.
    pub(super) async fn wait_until_ready(
        &mut self,
        jobs: &Jobs,
        names: &[String],
    ) -> Result<(), Failure> {
        let started = Instant::now();
        for name in names {
            loop {
                self.check()?;
                let Some(process) = self.processes.get(name) else {
                    break;
                };
                let idle = jobs.explain(process.operator).await?;
                if !matches!(
                    idle,
                    Idle::UnknownWorker | Idle::NotActive | Idle::NoOffer | Idle::NotReady
                ) {
                    break;
                }
                if started.elapsed() > Duration::from_secs(READY_SECONDS) {
                    return Err(Failure::WorkerNotReady {
                        name: name.clone(),
                        seconds: READY_SECONDS,
                        why: doctor::explain(&idle),
                        log: process.log(),
                    });
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Tells of a worker that ended by itself.
    pub fn check(&mut self) -> Result<(), Failure> {
        for (name, process) in &mut self.processes {
            let Some(child) = &mut process.child else {
                continue;
            };
            if let Ok(Some(status)) = child.try_wait() {
                process.child = None;
                let log = process.log();
                return Err(Failure::WorkerEnded {
                    name: name.clone(),
                    status: status.to_string(),
                    tail: tail(&log),
                    log,
                });
            }
        }
        Ok(())
    }

    /// Stops all workers: asks first, kills those that do not listen.
    pub async fn stop(&mut self) {
        let mut children: Vec<Child> = self
            .processes
            .values_mut()
            .filter_map(|process| process.child.take())
            .collect();
        for child in &mut children {
            drop(child.stdin.take());
        }
        let until = Instant::now() + LAST_WORDS;
        for child in &mut children {
            let left = until.saturating_duration_since(Instant::now());
            if timeout(left, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    shown
        .iter()
        .map(|line| format!("  {}", crate::show::plain(line)))
        .collect::<Vec<_>>()
        .join("\n")
}

// The configuration file of a worker, as `assay-worker` reads it.

#[derive(Serialize)]
struct Settings<'a> {
    state_dir: PathBuf,
    slots: u16,
    threads: u16,
    poll_milliseconds: u64,
    grace_seconds: u64,
    network: NetworkSettings<'a>,
    canisters: CanisterSettings<'a>,
    identity: IdentitySettings,
    models: Vec<ModelSettings<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<BackendSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cheat: Option<CheatSettings>,
}

#[derive(Serialize)]
struct BackendSettings {
    tensix: TensixFile,
}

#[derive(Serialize)]
struct NetworkSettings<'a> {
    url: &'a str,
    root_key: &'a str,
}

#[derive(Serialize)]
struct CanisterSettings<'a> {
    registry: &'a str,
    jobs: &'a [String],
}

#[derive(Serialize)]
struct IdentitySettings {
    pem: PathBuf,
}

#[derive(Serialize)]
struct ModelSettings<'a> {
    name: &'a str,
    file: &'a Path,
    ask_input: u64,
    ask_output: u64,
}

#[derive(Serialize)]
struct CheatSettings {
    mode: Cheat,
}

impl<'a> Settings<'a> {
    fn new(common: &'a Common, place: &Path, plan: &ProviderPlan) -> Self {
        let Common {
            url,
            root_key,
            registry,
            jobs,
            model_name,
            model_file,
            threads,
        } = common;
        Self {
            state_dir: place.join("state"),
            slots: 1,
            threads: *threads,
            poll_milliseconds: 200,
            grace_seconds: 1,
            network: NetworkSettings { url, root_key },
            canisters: CanisterSettings { registry, jobs },
            identity: IdentitySettings {
                pem: place.join("worker.pem"),
            },
            models: vec![ModelSettings {
                name: model_name,
                file: model_file,
                ask_input: plan.asks.input,
                ask_output: plan.asks.output,
            }],
            backend: plan.tensix.clone().map(|tensix| BackendSettings { tensix }),
            cheat: plan.cheat.map(|mode| CheatSettings { mode }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_local_workers_are_settings_that_the_worker_reads() {
        let common = Common {
            url: "http://127.0.0.1:4943".to_owned(),
            root_key: "3081".to_owned(),
            registry: "rwlgt-iiaaa-aaaaa-aaaaa-cai".to_owned(),
            jobs: vec!["rrkah-fqaaa-aaaaa-aaaaq-cai".to_owned()],
            model_name: "tiny".to_owned(),
            model_file: PathBuf::from("/a folder/with \"quotes\" and \\ in it"),
            threads: 2,
        };
        let plan = ProviderPlan {
            name: "Amber".to_owned(),
            asks: Asks::ordinary(0),
            cheat: Some(Cheat::WrongTokens),
            tensix: Some(TensixFile {
                cards: vec![0, 1],
                ..TensixFile::default()
            }),
        };
        let text = toml::to_string(&Settings::new(&common, Path::new("/place"), &plan)).unwrap();
        let config = assay_worker::config::parse(
            &text,
            Path::new("worker.toml"),
            &assay_worker::config::Overrides::default(),
        )
        .unwrap();
        assert_eq!(
            config.models[0].source,
            assay_worker::config::Source::File(common.model_file)
        );
        assert_eq!(config.cheat, Some(Cheat::WrongTokens));
        let chips = config.tensix.map(|tensix| tensix.chips);
        assert_eq!(chips, Some(assay_worker::backend::Chips::Cards(vec![0, 1])));
        assert_eq!(config.state_dir, Path::new("/place/state"));
    }
}
