//! The program with a state folder: killed at any moment, ended properly, and started again.

use std::{
    io::{BufRead, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use candid::{CandidType, Decode, Encode, Principal};
use ic_agent::{Agent, identity::BasicIdentity};
use serde::Deserialize;

/// Counts with every call.
const COUNTER: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
    (memory 1)
    (func $answer (call $append (i32.const 0) (i32.const 4)) (call $reply))
    (func (export "canister_update go")
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (call $answer))
    (func (export "canister_query get") (call $answer)))"#;

/// A running network.
struct Running {
    child: Child,
    url: String,
    root_key: Vec<u8>,
    create: Principal,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let mut child = command(folder).spawn().unwrap();
        let out = BufReader::new(child.stdout.as_mut().unwrap());
        let lines: Vec<String> = out.lines().take(4).map(Result::unwrap).collect();
        let value = |line: &str| line.split_whitespace().last().unwrap().to_owned();
        Self {
            url: value(&lines[0]),
            root_key: hex_bytes(&value(&lines[1])),
            create: Principal::from_text(value(&lines[3])).unwrap(),
            child,
        }
    }

    fn agent(&self) -> Agent {
        let agent = Agent::builder()
            .with_url(&self.url)
            .with_identity(BasicIdentity::from_raw_key(&[1; 32]))
            .build()
            .unwrap();
        agent.set_root_key(self.root_key.clone());
        agent
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay-localnet"));
    command
        .args(["--port", "0", "--state-dir"])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn hex_bytes(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

async fn install(network: &Running) -> Principal {
    #[derive(CandidType)]
    struct Create {
        amount: Option<candid::Nat>,
    }
    #[derive(CandidType, Deserialize)]
    struct Created {
        canister_id: Principal,
    }
    #[derive(CandidType)]
    enum Mode {
        #[allow(non_camel_case_types, reason = "the management canister's name")]
        install,
    }
    #[derive(CandidType)]
    struct Install {
        mode: Mode,
        canister_id: Principal,
        wasm_module: Vec<u8>,
        arg: Vec<u8>,
    }
    let agent = network.agent();
    let management = Principal::management_canister();
    let create = Create {
        amount: Some(candid::Nat::from(100_000_000_000_000u64)),
    };
    let reply = agent
        .update(&management, "provisional_create_canister_with_cycles")
        .with_effective_canister_id(network.create)
        .with_arg(Encode!(&create).unwrap())
        .call_and_wait()
        .await
        .unwrap();
    let canister_id = Decode!(&reply, Created).unwrap().canister_id;
    let install = Install {
        mode: Mode::install,
        canister_id,
        wasm_module: wat::parse_str(COUNTER).unwrap(),
        arg: Vec::new(),
    };
    agent
        .update(&management, "install_code")
        .with_effective_canister_id(canister_id)
        .with_arg(Encode!(&install).unwrap())
        .call_and_wait()
        .await
        .unwrap();
    canister_id
}

async fn count(agent: &Agent, counter: Principal) -> u32 {
    let reply = agent.query(&counter, "get").call().await.unwrap();
    u32::from_le_bytes(reply.try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_anybody_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut network = Running::start(folder.path());
    let counter = install(&network).await;
    let root_key = network.root_key.clone();
    let mut told = 0;
    for moment in [3, 20, 55, 110, 7] {
        let agent = network.agent();
        let highest = Arc::new(AtomicU32::new(told));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (agent, highest) = (agent.clone(), highest.clone());
                tokio::spawn(async move {
                    // Until the network is gone; a certificate shows each count.
                    while let Ok(reply) = agent.update(&counter, "go").call_and_wait().await {
                        let count = u32::from_le_bytes(reply.try_into().unwrap());
                        highest.fetch_max(count, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        while highest.load(Ordering::SeqCst) < told + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(moment)).await;
        network.kill();
        for caller in &callers {
            caller.abort();
        }
        for caller in callers {
            let _ = caller.await;
        }
        told = highest.load(Ordering::SeqCst);

        network = Running::start(folder.path());
        assert_eq!(network.root_key, root_key);
        let found = count(&network.agent(), counter).await;
        // Calls that were taken in are not lost either, and may have run since.
        assert!(found >= told, "{told} was told, and {found} is left");
        told = told.max(found);
    }
    network.end();
    let network = Running::start(folder.path());
    let agent = network.agent();
    let left = count(&agent, counter).await;
    assert!(left >= told);
    let reply = agent.update(&counter, "go").call_and_wait().await.unwrap();
    assert_eq!(reply, (left + 1).to_le_bytes());
    network.end();
}

#[test]
fn a_folder_in_use_ends_the_second_program_with_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let first = Running::start(folder.path());
    let mut second = command(folder.path()).spawn().unwrap();
    assert!(!second.wait().unwrap().success());
    let mut message = String::new();
    second
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut message)
        .unwrap();
    assert!(
        message.contains("is used by another process; stop it"),
        "{message}"
    );
    first.end();
}
