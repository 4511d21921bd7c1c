//! Modules: prepared, compiled, installed, and every entry point run with few instructions.

use std::{cell::RefCell, sync::Arc};

use candid::{CandidType, Principal, encode_one};
use ic_management_canister_types as ic;

use crate::{
    limits::{Instructions, QUERY_CALL_INSTRUCTIONS},
    network::{Network, NetworkConfig},
    sysapi::SubnetFacts,
    system::SystemPlan,
    topology::Topology,
    types::{ErrorCode, Ingress, IngressStatus, Query, Reject, RequestId, Time},
    wasm::{Compiler, InvalidModule, MethodKind},
};

/// What a message may use here.
const INSTRUCTIONS: Instructions = Instructions {
    update: 200_000,
    query: 200_000,
    // Each query that another one calls counts for many.
    composite: 3 * QUERY_CALL_INSTRUCTIONS,
    // What compiling costs counts too.
    install: 40_000_000,
    inspect: 100_000,
};
const CYCLES: u128 = 100_000_000_000_000;
const START: Time = Time(1_700_000_000_000_000_000);
/// Rounds after each message, which is enough for calls that canisters make.
const ROUNDS: usize = 4;
/// Methods that are called.
const METHODS: usize = 8;
/// A day, so that timers are due.
const DAY_NANOS: u64 = 86_400_000_000_000;

/// What was made of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It may not be installed.
    Refused(InvalidModule),
    /// It was compiled, but its installation failed.
    Failed(Reject),
    /// It was installed, and so many of its methods replied.
    Installed {
        /// Calls that were replied to.
        replies: usize,
    },
}

thread_local! {
    /// The compiler takes longest to make, and nothing that it remembers shows.
    static COMPILER: RefCell<Option<(Arc<Topology>, Compiler)>> = const { RefCell::new(None) };
}

/// Installs a module and runs whatever it exports.
///
/// # Panics
/// Where what was found good cannot be compiled or run after all, or cycles are lost or made.
pub fn module(bytes: &[u8]) -> Ran {
    let (topology, mut compiler) = COMPILER
        .with_borrow_mut(Option::take)
        .unwrap_or_else(|| (Arc::new(Topology::new(&[7; 32])), Compiler::new(None)));
    let methods: Vec<(String, MethodKind)> = match compiler.compile(bytes) {
        Ok(compiled) => {
            let methods = compiled.info.exports.methods.iter();
            let methods = methods.take(METHODS);
            methods.map(|(name, kind)| (name.clone(), *kind)).collect()
        }
        Err(error) => {
            assert!(
                !matches!(error, InvalidModule::Compile { .. }),
                "BUG: a module that was found good is not compiled: {error}"
            );
            COMPILER.set(Some((topology, compiler)));
            return Ran::Refused(error);
        }
    };
    let config = NetworkConfig {
        seed: [7; 32],
        start: START,
        topology: topology.clone(),
        system: SystemPlan::none(),
        module_cache: None,
    };
    let mut machine = Machine {
        network: Network::assemble(config, compiler),
        requests: 0,
    };
    for home in &mut machine.network.homes {
        home.facts = Arc::new(SubnetFacts {
            instructions: INSTRUCTIONS,
            ..(*home.facts).clone()
        });
    }
    let ran = machine.run(bytes, &methods);
    let totals = machine.network.cycles();
    assert_eq!(
        totals.minted,
        totals.held + totals.moving + totals.spent,
        "BUG: cycles are lost or made: {totals:?}"
    );
    COMPILER.set(Some((topology, machine.network.compiler)));
    ran
}

struct Machine {
    network: Network,
    requests: u64,
}

impl Machine {
    fn run(&mut self, module: &[u8], methods: &[(String, MethodKind)]) -> Ran {
        let canister = self.create();
        if let Err(reject) = self.install(canister, ic::CanisterInstallMode::Install, module) {
            return Ran::Failed(reject);
        }
        let mut replies = 0;
        // The second time, instances are warm.
        for _ in 0..2 {
            for (name, kind) in methods {
                let answer = match kind {
                    MethodKind::Update => self.call(canister, canister, name, b"argument".to_vec()),
                    MethodKind::Query | MethodKind::CompositeQuery => self
                        .network
                        .query(&query(canister, name), Some(b"certificate")),
                };
                replies += usize::from(check(answer).is_ok());
            }
            let later = self.network.time().plus_nanos(DAY_NANOS);
            self.network.set_time(later);
            self.rounds();
        }
        // Whether it may be upgraded is the module's to say.
        let _ = self.install(canister, ic::CanisterInstallMode::Upgrade(None), module);
        let record = ic::CanisterIdRecord {
            canister_id: canister,
        };
        for method in ["stop_canister", "uninstall_code", "delete_canister"] {
            // A canister that never answers does not stop, and is not deleted then.
            let _ = self.manage(canister, method, &record);
        }
        Ran::Installed { replies }
    }

    fn create(&mut self) -> Principal {
        let arg = ic::ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(CYCLES.into()),
            ..Default::default()
        };
        let manage = Principal::management_canister();
        let reply = self
            .manage(manage, "provisional_create_canister_with_cycles", &arg)
            .expect("BUG: an empty canister is refused");
        candid::decode_one::<ic::CanisterIdRecord>(&reply)
            .expect("BUG: the management canister's reply is no canister id")
            .canister_id
    }

    fn install(
        &mut self,
        canister_id: Principal,
        mode: ic::CanisterInstallMode,
        module: &[u8],
    ) -> Result<(), Reject> {
        let arg = ic::InstallCodeArgs {
            mode,
            canister_id,
            wasm_module: module.to_vec(),
            arg: b"argument".to_vec(),
            sender_canister_version: None,
        };
        check(self.manage(canister_id, "install_code", &arg)).map(|_| ())
    }

    fn manage<T: CandidType>(
        &mut self,
        effective: Principal,
        method: &str,
        arg: &T,
    ) -> Result<Vec<u8>, Reject> {
        let arg = encode_one(arg).expect("BUG: an argument is no Candid");
        self.call(effective, Principal::management_canister(), method, arg)
    }

    fn call(
        &mut self,
        effective_canister: Principal,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<Vec<u8>, Reject> {
        self.requests += 1;
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.requests.to_be_bytes());
        let id = RequestId(id);
        let bytes = (method.len() + arg.len()) as u64;
        self.network.submit(Ingress {
            id,
            sender: Principal::anonymous(),
            canister,
            effective_canister,
            method: method.to_owned(),
            arg,
            expiry: self.network.time().plus_nanos(240_000_000_000),
            info: None,
            bytes,
        })?;
        self.rounds();
        match self.network.status(&id).map(|record| &record.status) {
            Some(IngressStatus::Replied(reply)) => Ok(reply.clone()),
            Some(IngressStatus::Rejected(reject)) => Err(reject.clone()),
            _ => Err(Reject::of(
                ErrorCode::CanisterDidNotReply,
                "it waits for itself, or for a call that nobody answers",
            )),
        }
    }

    fn rounds(&mut self) {
        for _ in 0..ROUNDS {
            if !self.network.round().more {
                return;
            }
        }
    }
}

fn query(canister: Principal, method: &str) -> Query {
    Query {
        sender: Principal::anonymous(),
        canister,
        method: method.to_owned(),
        arg: b"argument".to_vec(),
        info: None,
    }
}

/// A canister may fail in every way but one.
fn check<T>(answer: Result<T, Reject>) -> Result<T, Reject> {
    if let Err(reject) = &answer {
        assert!(
            !reject.message.contains("Wasm engine error"),
            "BUG: the engine fails: {}",
            reject.message
        );
    }
    answer
}
