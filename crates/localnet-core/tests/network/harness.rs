//! A network that one line of a test can talk to.

use std::{collections::BTreeMap, io, sync::Arc};

use assay_localnet_core::{
    image::{BlobId, Blobs},
    network::{Network, NetworkConfig},
    system::SystemPlan,
    topology::{SubnetPlan, Topology},
    types::{Ingress, IngressStatus, Query, Reject, RequestId, Time},
};
use candid::{CandidType, Principal, encode_one};
use ic_management_canister_types as ic;
use sha2::{Digest as _, Sha256};

/// First second of the tests' clock.
pub(crate) const START: Time = Time(1_700_000_000_000_000_000);
const SECOND: u64 = 1_000_000_000;
/// Rounds after which a test has gone wrong.
const ROUNDS_MAX: usize = 200;

pub(crate) struct Net {
    pub(crate) network: Network,
    requests: u64,
    config: NetworkConfig,
}

/// Blobs in memory.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) BTreeMap<BlobId, Vec<u8>>);

impl Blobs for Kept {
    fn put(&mut self, bytes: &[u8]) -> io::Result<BlobId> {
        let id = BlobId::of(bytes);
        self.0.insert(id, bytes.to_vec());
        Ok(id)
    }

    fn get(&mut self, id: BlobId) -> io::Result<Vec<u8>> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        self.0.get(&id).cloned().ok_or_else(missing)
    }
}

/// The user that everything is done as, unless a test says otherwise.
pub(crate) fn user() -> Principal {
    Principal::self_authenticating([1])
}

pub(crate) fn stranger() -> Principal {
    Principal::self_authenticating([2])
}

pub(crate) fn config() -> NetworkConfig {
    NetworkConfig {
        seed: [7; 32],
        start: START,
        topology: Arc::new(Topology::new(&[7; 32])),
        system: SystemPlan::none(),
        module_cache: None,
    }
}

/// As [`config`], with these subnets.
pub(crate) fn config_with(plan: &[SubnetPlan]) -> NetworkConfig {
    NetworkConfig {
        topology: Arc::new(Topology::plan(&[7; 32], plan).unwrap()),
        ..config()
    }
}

impl Net {
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: NetworkConfig) -> Self {
        Self {
            network: Network::new(config.clone()),
            requests: 0,
            config,
        }
    }

    /// Puts the network into an image, and goes on with one that is made from it.
    pub(crate) fn be_reborn(&mut self) {
        let mut blobs = Kept::default();
        let image = self.network.image(&mut blobs).unwrap();
        let before = self.network.digest();
        self.network = Network::restore(self.config.clone(), &image, &mut blobs).unwrap();
        assert_eq!(self.network.digest(), before, "an image holds everything");
    }

    /// Submits a call and gives its request id.
    pub(crate) fn submit_as(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        arg: impl Into<Vec<u8>>,
    ) -> Result<RequestId, Reject> {
        let arg = arg.into();
        let effective = if canister == Principal::management_canister() {
            #[derive(CandidType, serde::Deserialize)]
            struct Target {
                canister_id: Principal,
            }
            candid::decode_one::<Target>(&arg).map_or(canister, |target| target.canister_id)
        } else {
            canister
        };
        self.submit_at(effective, sender, canister, method, arg)
    }

    /// Submits a call to where this canister lives, or would live, or to a subnet.
    pub(crate) fn submit_at(
        &mut self,
        effective_canister: Principal,
        sender: Principal,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<RequestId, Reject> {
        let message = self.message(sender, effective_canister, canister, method, arg);
        let id = message.id;
        self.network.submit(message)?;
        Ok(id)
    }

    /// A message that was not sent before.
    pub(crate) fn message(
        &mut self,
        sender: Principal,
        effective_canister: Principal,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> Ingress {
        self.requests += 1;
        // As if nothing else was sent, so that tests can tell what a message costs.
        let bytes = (method.len() + arg.len()) as u64;
        Ingress {
            id: RequestId(Sha256::digest(self.requests.to_le_bytes()).into()),
            sender,
            canister,
            effective_canister,
            method: method.into(),
            arg,
            info: None,
            expiry: self.network.time().plus_nanos(240 * SECOND),
            bytes,
        }
    }

    pub(crate) fn submit(
        &mut self,
        canister: Principal,
        method: &str,
        arg: impl Into<Vec<u8>>,
    ) -> RequestId {
        self.submit_as(user(), canister, method, arg).unwrap()
    }

    /// The answer, if there is one.
    pub(crate) fn answer(&self, id: &RequestId) -> Option<Result<Vec<u8>, Reject>> {
        match &self.network.status(id)?.status {
            IngressStatus::Replied(reply) => Some(Ok(reply.clone())),
            IngressStatus::Rejected(reject) => Some(Err(reject.clone())),
            _ => None,
        }
    }

    /// Whether it was answered so long ago that the answer is gone.
    pub(crate) fn is_done(&self, id: &RequestId) -> bool {
        self.network
            .status(id)
            .is_some_and(|record| record.status == IngressStatus::Done)
    }

    pub(crate) fn wait(&mut self, id: &RequestId) -> Result<Vec<u8>, Reject> {
        for _ in 0..ROUNDS_MAX {
            if let Some(answer) = self.answer(id) {
                return answer;
            }
            self.network.round();
        }
        panic!("no answer after {ROUNDS_MAX} rounds");
    }

    pub(crate) fn call(
        &mut self,
        canister: Principal,
        method: &str,
        arg: impl Into<Vec<u8>>,
    ) -> Result<Vec<u8>, Reject> {
        self.call_as(user(), canister, method, arg)
    }

    pub(crate) fn call_as(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        arg: impl Into<Vec<u8>>,
    ) -> Result<Vec<u8>, Reject> {
        let id = self.submit_as(sender, canister, method, arg)?;
        self.wait(&id)
    }

    pub(crate) fn query(
        &mut self,
        canister: Principal,
        method: &str,
        arg: impl Into<Vec<u8>>,
    ) -> Result<Vec<u8>, Reject> {
        let query = Query {
            sender: user(),
            canister,
            method: method.into(),
            arg: arg.into(),
            info: None,
        };
        self.network.query(&query, None)
    }

    /// A call to the management canister.
    pub(crate) fn manage<T: CandidType>(
        &mut self,
        method: &str,
        arg: &T,
    ) -> Result<Vec<u8>, Reject> {
        self.call(
            Principal::management_canister(),
            method,
            encode_one(arg).unwrap(),
        )
    }

    pub(crate) fn create(&mut self) -> Principal {
        self.create_with(100_000_000_000_000)
    }

    pub(crate) fn create_with(&mut self, cycles: u128) -> Principal {
        let arg = ic::ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(cycles.into()),
            ..Default::default()
        };
        let reply = self
            .manage("provisional_create_canister_with_cycles", &arg)
            .unwrap();
        candid::decode_one::<ic::CanisterIdRecord>(&reply)
            .unwrap()
            .canister_id
    }

    /// Creates a canister where this id lives, or would live, or on this subnet.
    pub(crate) fn create_at(
        &mut self,
        effective: Principal,
        specified_id: Option<Principal>,
    ) -> Result<Principal, Reject> {
        let arg = ic::ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(100_000_000_000_000u128.into()),
            specified_id,
            ..Default::default()
        };
        let id = self.submit_at(
            effective,
            user(),
            Principal::management_canister(),
            "provisional_create_canister_with_cycles",
            encode_one(arg).unwrap(),
        )?;
        let reply = self.wait(&id)?;
        Ok(candid::decode_one::<ic::CanisterIdRecord>(&reply)
            .unwrap()
            .canister_id)
    }

    /// A new canister on the subnet with this place, with this code.
    pub(crate) fn canister_on(&mut self, subnet: usize, body: &str) -> Principal {
        let at = self.network.topology().subnets()[subnet].id;
        let id = self.create_at(at, None).unwrap();
        self.install_code(id, ic::CanisterInstallMode::Install, wasm(body), b"")
            .unwrap();
        id
    }

    pub(crate) fn install_code(
        &mut self,
        canister: Principal,
        mode: ic::CanisterInstallMode,
        module: Vec<u8>,
        arg: &[u8],
    ) -> Result<(), Reject> {
        let arg = ic::InstallCodeArgs {
            mode,
            canister_id: canister,
            wasm_module: module,
            arg: arg.to_vec(),
            sender_canister_version: None,
        };
        self.manage("install_code", &arg).map(|_| ())
    }

    /// A new canister with this code; see [`wasm`].
    pub(crate) fn canister(&mut self, body: &str) -> Principal {
        let id = self.create();
        self.install_code(id, ic::CanisterInstallMode::Install, wasm(body), b"")
            .unwrap();
        id
    }

    pub(crate) fn upgrade(&mut self, canister: Principal, body: &str) -> Result<(), Reject> {
        self.install_code(
            canister,
            ic::CanisterInstallMode::Upgrade(None),
            wasm(body),
            b"",
        )
    }

    pub(crate) fn status_of(&mut self, canister: Principal) -> ic::CanisterStatusResult {
        let reply = self
            .manage(
                "canister_status",
                &ic::CanisterIdRecord {
                    canister_id: canister,
                },
            )
            .unwrap();
        candid::decode_one(&reply).unwrap()
    }

    pub(crate) fn advance(&mut self, seconds: u64) {
        let time = self.network.time().plus_nanos(seconds * SECOND);
        self.network.set_time(time);
    }

    pub(crate) fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            self.network.round();
        }
    }

    /// Rounds until nothing is left to do now.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.network.round().more {
                return;
            }
        }
        panic!("not settled after {ROUNDS_MAX} rounds");
    }

    /// No cycle is lost or made.
    pub(crate) fn check_cycles(&self) {
        let totals = self.network.cycles();
        assert_eq!(
            totals.minted,
            totals.held + totals.moving + totals.spent,
            "{totals:?}"
        );
    }
}

/// A refusal's text without the line that says what to do about it.
pub(crate) fn plain(reject: &Reject) -> &str {
    match reject.message.split_once('\n') {
        Some((text, _)) if text.starts_with("Error from Canister ") => {
            text.strip_suffix('.').unwrap_or(text)
        }
        Some((text, _)) => text,
        None => &reject.message,
    }
}

/// A number in the four bytes that test canisters use.
pub(crate) fn n(value: u32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// The functions of the System API that test canisters use.
const IMPORTS: &[(&str, &str)] = &[
    ("accept_message", ""),
    ("call_cycles_add", "(param i64)"),
    ("call_cycles_add128", "(param i64 i64)"),
    ("call_data_append", "(param i32 i32)"),
    ("call_new", "(param i32 i32 i32 i32 i32 i32 i32 i32)"),
    ("call_on_cleanup", "(param i32 i32)"),
    ("call_perform", "(result i32)"),
    ("call_with_best_effort_response", "(param i32)"),
    ("canister_cycle_balance", "(result i64)"),
    ("canister_cycle_balance128", "(param i32)"),
    ("canister_liquid_cycle_balance128", "(param i32)"),
    ("canister_self_copy", "(param i32 i32 i32)"),
    ("canister_self_size", "(result i32)"),
    ("canister_status", "(result i32)"),
    ("canister_version", "(result i64)"),
    ("certified_data_set", "(param i32 i32)"),
    ("cost_call", "(param i64 i64 i32)"),
    ("cost_create_canister", "(param i32)"),
    ("cost_http_request", "(param i64 i64 i32)"),
    ("cost_http_request_v2", "(param i32 i32 i32)"),
    (
        "cost_sign_with_ecdsa",
        "(param i32 i32 i32 i32) (result i32)",
    ),
    (
        "cost_sign_with_schnorr",
        "(param i32 i32 i32 i32) (result i32)",
    ),
    (
        "cost_vetkd_derive_key",
        "(param i32 i32 i32 i32) (result i32)",
    ),
    ("cycles_burn128", "(param i64 i64 i32)"),
    ("data_certificate_copy", "(param i32 i32 i32)"),
    ("data_certificate_present", "(result i32)"),
    ("data_certificate_size", "(result i32)"),
    ("debug_print", "(param i32 i32)"),
    ("env_var_count", "(result i32)"),
    ("env_var_name_copy", "(param i32 i32 i32 i32)"),
    ("env_var_name_exists", "(param i32 i32) (result i32)"),
    ("env_var_name_size", "(param i32) (result i32)"),
    ("env_var_value_copy", "(param i32 i32 i32 i32 i32)"),
    ("env_var_value_size", "(param i32 i32) (result i32)"),
    ("global_timer_set", "(param i64) (result i64)"),
    ("in_replicated_execution", "(result i32)"),
    ("is_controller", "(param i32 i32) (result i32)"),
    ("msg_arg_data_copy", "(param i32 i32 i32)"),
    ("msg_arg_data_size", "(result i32)"),
    ("msg_caller_copy", "(param i32 i32 i32)"),
    ("msg_caller_info_data_copy", "(param i32 i32 i32)"),
    ("msg_caller_info_data_size", "(result i32)"),
    ("msg_caller_info_signer_copy", "(param i32 i32 i32)"),
    ("msg_caller_info_signer_size", "(result i32)"),
    ("msg_caller_size", "(result i32)"),
    ("msg_cycles_accept", "(param i64) (result i64)"),
    ("msg_cycles_accept128", "(param i64 i64 i32)"),
    ("msg_cycles_available", "(result i64)"),
    ("msg_cycles_available128", "(param i32)"),
    ("msg_cycles_refunded", "(result i64)"),
    ("msg_cycles_refunded128", "(param i32)"),
    ("msg_deadline", "(result i64)"),
    ("msg_method_name_copy", "(param i32 i32 i32)"),
    ("msg_method_name_size", "(result i32)"),
    ("msg_reject", "(param i32 i32)"),
    ("msg_reject_code", "(result i32)"),
    ("msg_reject_msg_copy", "(param i32 i32 i32)"),
    ("msg_reject_msg_size", "(result i32)"),
    ("msg_reply", ""),
    ("msg_reply_data_append", "(param i32 i32)"),
    ("performance_counter", "(param i32) (result i64)"),
    ("root_key_copy", "(param i32 i32 i32)"),
    ("root_key_size", "(result i32)"),
    ("stable64_grow", "(param i64) (result i64)"),
    ("stable64_read", "(param i64 i64 i64)"),
    ("stable64_size", "(result i64)"),
    ("stable64_write", "(param i64 i64 i64)"),
    ("stable_grow", "(param i32) (result i32)"),
    ("stable_read", "(param i32 i32 i32)"),
    ("stable_size", "(result i32)"),
    ("stable_write", "(param i32 i32 i32)"),
    ("subnet_self_copy", "(param i32 i32 i32)"),
    ("subnet_self_node_count", "(result i32)"),
    ("subnet_self_size", "(result i32)"),
    ("time", "(result i64)"),
    ("trap", "(param i32 i32)"),
];

/// A module with a page of memory, unless it brings `(memory $m …)`: what it uses of the System API is imported, and three helpers are there.
/// `$reply32` replies with four bytes; `$arg32` reads them; `$arg` copies the argument to address 1000 and gives its
/// length. Addresses below 100 are theirs.
pub(crate) fn wasm(body: &str) -> Vec<u8> {
    let helpers = "
        (func $reply32 (param i32)
          (i32.store (i32.const 0) (local.get 0))
          (call $msg_reply_data_append (i32.const 0) (i32.const 4))
          (call $msg_reply))
        (func $arg32 (result i32)
          (call $msg_arg_data_copy (i32.const 4) (i32.const 0) (i32.const 4))
          (i32.load (i32.const 4)))
        (func $arg (result i32)
          (call $msg_arg_data_copy (i32.const 1000) (i32.const 0) (call $msg_arg_data_size))
          (call $msg_arg_data_size))";
    let memory = if body.contains("(memory $m") {
        ""
    } else {
        "(memory 1)"
    };
    let code = format!("{memory} {helpers} {body}");
    let imports: String = IMPORTS
        .iter()
        .filter(|(name, _)| {
            code.contains(&format!("${name} ")) || code.contains(&format!("${name})"))
        })
        .map(|(name, ty)| format!("(import \"ic0\" \"{name}\" (func ${name} {ty}))\n"))
        .collect();
    wat::parse_str(format!("(module {imports} {code})")).unwrap()
}
