//! What the whole-system tests share: networks as the official `pocket-ic` client makes them, the modules of canisters,
//! agents, and plain HTTP.
//!
//! Nothing here knows which server answers. `cargo xtask test` names ours through `POCKET_IC_BIN`; with that variable at
//! DFINITY's server (version 16.1) the same tests run there. All networks of one test binary live on one server process,
//! which ends by itself a minute after the last request.

pub mod http;
pub mod model_server;

use std::{path::PathBuf, sync::OnceLock};

use ic_agent::{Agent, identity::BasicIdentity};
use pocket_ic::{PocketIcBuilder, StartServerParams, start_server};

/// Where the client looks for its server.
const SERVER_VARIABLE: &str = "POCKET_IC_BIN";
/// Where the modules of canisters are.
const WASM_VARIABLE: &str = "ASSAY_WASM_DIR";

/// A network to be described, on the server that this process's tests share.
///
/// # Panics
/// Where no server is named: without one the client would try to download it.
pub fn networks() -> PocketIcBuilder {
    // The client would start a process for every network, only to find that the first one still runs.
    static SERVER: OnceLock<String> = OnceLock::new();
    let url = SERVER.get_or_init(|| {
        check_server();
        let params = StartServerParams {
            reuse: true,
            ..StartServerParams::default()
        };
        let (_, url) = block_on(start_server(params));
        url.into()
    });
    let url = url.parse().expect("BUG: the client gave an address");
    PocketIcBuilder::new().with_server_url(url)
}

/// Says how to name a server, where none is.
///
/// # Panics
/// In that case.
pub fn check_server() {
    assert!(
        std::env::var_os(SERVER_VARIABLE).is_some(),
        "{SERVER_VARIABLE} is not set; run cargo xtask test, or name assay-localnet or DFINITY's PocketIC server there"
    );
}

/// The module of a canister.
pub fn module(name: &str) -> Vec<u8> {
    read(&format!("{name}.wasm"))
}

/// The module of a canister as it is shipped: packed, so that it fits into one message.
pub fn packed(name: &str) -> Vec<u8> {
    read(&format!("{name}.wasm.gz"))
}

fn read(file: &str) -> Vec<u8> {
    let folder = std::env::var_os(WASM_VARIABLE).unwrap_or_else(|| {
        panic!("{WASM_VARIABLE} is not set; build the canisters with cargo xtask wasm and name their folder")
    });
    let path = PathBuf::from(folder).join(file);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; build it with cargo xtask wasm",
            path.display()
        )
    })
}

/// Waits for something asynchronous. (The blocking client cannot be used inside of it.)
///
/// # Panics
/// Where the system gives no runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be had")
        .block_on(future)
}

/// The same for what needs threads of its own, such as a market with workers.
///
/// # Panics
/// Where the system gives no runtime.
pub fn block_on_threads<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be had")
        .block_on(future)
}

/// A client with a key of its own that trusts this root key and nothing else.
///
/// # Panics
/// Where the address is none.
pub fn agent(url: &str, root_key: Vec<u8>, key: u8) -> Agent {
    let agent = Agent::builder()
        .with_url(url)
        .with_identity(BasicIdentity::from_raw_key(&[key; 32]))
        .build()
        .expect("an agent needs an address only");
    agent.set_root_key(root_key);
    agent
}
