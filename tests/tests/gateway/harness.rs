//! A network with a canister of pages, and a client that says exactly what it is told to.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use assay_localnet::{Localnet, LocalnetConfig};
use candid::{CandidType, Principal, decode_one, encode_one};
use ic_agent::{Agent, identity::BasicIdentity};
use ic_management_canister_types as ic;

/// How long an answer may take before the test has gone wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// A canister on a network.
pub(crate) struct Site {
    pub(crate) network: Localnet,
    pub(crate) agent: Agent,
    pub(crate) id: Principal,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The module of a canister, packed.
pub(crate) fn module(name: &str) -> Vec<u8> {
    read(&format!("{name}.wasm.gz"))
}

/// The module of a canister with one more section.
pub(crate) fn module_with_section(name: &str, section: &str, content: &[u8]) -> Vec<u8> {
    let mut module = read(&format!("{name}.wasm"));
    let mut custom = vec![u8::try_from(section.len()).unwrap()];
    custom.extend(section.as_bytes());
    custom.extend(content);
    let length = u8::try_from(custom.len()).unwrap();
    assert!(length < 128, "one byte holds the length");
    module.extend([0, length]);
    module.extend(custom);
    module
}

fn read(file: &str) -> Vec<u8> {
    let folder = std::env::var_os("ASSAY_WASM_DIR")
        .expect("ASSAY_WASM_DIR is not set; build the canisters with cargo xtask wasm and name their folder");
    let path = PathBuf::from(folder).join(file);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; build it with cargo xtask wasm",
            path.display()
        )
    })
}

impl Site {
    /// A running canister of this module.
    pub(crate) async fn start(module: &[u8], arg: Vec<u8>) -> Self {
        Self::start_on(LocalnetConfig::default(), module, arg).await
    }

    /// A running canister of this module, on such a network.
    pub(crate) async fn start_on(config: LocalnetConfig, module: &[u8], arg: Vec<u8>) -> Self {
        // The tests install the same few modules again and again.
        let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gateway-modules");
        let network = Localnet::start(LocalnetConfig {
            module_cache: Some(cache),
            ..config
        })
        .unwrap();
        let agent = Agent::builder()
            .with_url(network.url())
            .with_identity(BasicIdentity::from_raw_key(&[1; 32]))
            .build()
            .unwrap();
        agent.set_root_key(network.root_key());
        let mut site = Self {
            id: network.default_effective_canister(),
            network,
            agent,
        };
        let create = ic::ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(1_000_000_000_000_000u128.into()),
            ..Default::default()
        };
        let reply = site
            .manage("provisional_create_canister_with_cycles", &create)
            .await;
        site.id = decode_one::<ic::CanisterIdRecord>(&reply)
            .unwrap()
            .canister_id;
        // A module that is too long for one message goes in pieces.
        let hashes = match module.len() > 1_900_000 {
            true => site.upload(module).await,
            false => Vec::new(),
        };
        if hashes.is_empty() {
            let args = ic::InstallCodeArgs {
                mode: ic::CanisterInstallMode::Install,
                canister_id: site.id,
                wasm_module: module.to_vec(),
                arg,
                sender_canister_version: None,
            };
            site.manage("install_code", &args).await;
        } else {
            let args = ic::InstallChunkedCodeArgs {
                mode: ic::CanisterInstallMode::Install,
                target_canister: site.id,
                store_canister: None,
                chunk_hashes_list: hashes,
                wasm_module_hash: sha256(module),
                arg,
                sender_canister_version: None,
            };
            site.manage("install_chunked_code", &args).await;
        }
        site
    }

    /// The canister of pages.
    pub(crate) async fn pages() -> Self {
        Self::start(&module("pages"), encode_one(()).unwrap()).await
    }

    async fn upload(&self, module: &[u8]) -> Vec<ic::ChunkHash> {
        let mut hashes = Vec::new();
        for chunk in module.chunks(1 << 20) {
            let args = ic::UploadChunkArgs {
                canister_id: self.id,
                chunk: chunk.to_vec(),
            };
            let reply = self.manage("upload_chunk", &args).await;
            hashes.push(decode_one::<ic::ChunkHash>(&reply).unwrap());
        }
        hashes
    }

    pub(crate) async fn manage(&self, method: &str, arg: &impl CandidType) -> Vec<u8> {
        self.agent
            .update(&Principal::management_canister(), method)
            .with_effective_canister_id(self.id)
            .with_arg(encode_one(arg).unwrap())
            .call_and_wait()
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub(crate) fn record(&self) -> ic::CanisterIdRecord {
        ic::CanisterIdRecord {
            canister_id: self.id,
        }
    }

    /// The canister's host.
    pub(crate) fn host(&self) -> String {
        format!("{}.localhost:{}", self.id, self.port())
    }

    /// The host at which nothing is verified.
    pub(crate) fn raw_host(&self) -> String {
        format!("{}.raw.localhost:{}", self.id, self.port())
    }

    pub(crate) fn port(&self) -> u16 {
        self.network.address().port()
    }

    /// GET at the canister's host.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", &self.host(), path, &[], b"")
    }

    /// GET at the host where nothing is verified.
    pub(crate) fn get_raw(&self, path: &str) -> Answer {
        self.ask("GET", &self.raw_host(), path, &[], b"")
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(
        &self,
        method: &str,
        host: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.say(head.as_bytes(), body)
    }

    /// Says these bytes, and reads the answer to the end.
    pub(crate) fn say(&self, head: &[u8], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.network.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(head).unwrap();
        // A server that refuses a long body may close before it has read all of it.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no response: {}", String::from_utf8_lossy(&bytes)));
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap();
                (name.to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        Answer {
            status,
            headers,
            body,
        }
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).to_vec()
}

/// Checks a refusal: its status, and what it says.
#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, says: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(says), "{}", answer.text());
}
