//! System canisters in a network: who reaches them, and where cycles go.

use std::sync::Arc;

use assay_localnet_core::{
    network::{Network, NetworkConfig},
    system::{Account, CYCLES_LEDGER, CYCLES_MINTING, ICP_LEDGER, SystemPlan},
    topology::{SubnetKind, SubnetPlan, Topology},
    types::{ErrorCode, RejectCode},
};
use candid::{CandidType, Nat, Principal, decode_one, encode_one};
use ic_management_canister_types as ic;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::harness::{Net, config, plain, stranger, user};

const T: u128 = 1_000_000_000_000;
const FEE: u128 = 100_000_000;

/// Passes `callee (10 bytes) ‖ cycles (8 bytes) ‖ length of the method (4 bytes) ‖ method ‖ argument` on, and answers
/// `refund (16 bytes) ‖ reply` or `refund ‖ reject message`.
const FORWARDER: &str = r#"
    (table 2 funcref)
    (elem (i32.const 0) $reply $reject)
    (func $refund
      (call $msg_cycles_refunded128 (i32.const 500))
      (call $msg_reply_data_append (i32.const 500) (i32.const 16)))
    (func $reply (param i32)
      (call $refund)
      (call $msg_reply_data_append (i32.const 1000) (call $arg))
      (call $msg_reply))
    (func $reject (param i32)
      (call $refund)
      (call $msg_reject_msg_copy (i32.const 1000) (i32.const 0) (call $msg_reject_msg_size))
      (call $msg_reply_data_append (i32.const 1000) (call $msg_reject_msg_size))
      (call $msg_reply))
    (func (export "canister_update forward") (local $end i32) (local $method i32)
      (local.set $end (i32.add (i32.const 1000) (call $arg)))
      (local.set $method (i32.load (i32.const 1018)))
      (call $call_new (i32.const 1000) (i32.const 10) (i32.const 1022) (local.get $method)
        (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
      (call $call_data_append (i32.add (i32.const 1022) (local.get $method))
        (i32.sub (local.get $end) (i32.add (i32.const 1022) (local.get $method))))
      (call $call_cycles_add128 (i64.const 0) (i64.load (i32.const 1010)))
      (if (call $call_perform) (then unreachable)))
"#;

#[derive(CandidType, Deserialize)]
struct WireAccount {
    owner: Principal,
    subaccount: Option<ByteBuf>,
}

#[derive(CandidType, Deserialize)]
struct Transfer {
    to: WireAccount,
    amount: Nat,
}

#[derive(CandidType, Deserialize)]
struct Deposit {
    to: WireAccount,
}

#[derive(CandidType, Deserialize)]
struct Withdraw {
    amount: Nat,
    to: Principal,
}

#[derive(CandidType, Deserialize, Debug, PartialEq)]
enum TransferError {
    InsufficientFunds { balance: Nat },
}

#[derive(CandidType, Deserialize)]
struct Settings {
    controllers: Option<Vec<Principal>>,
    environment_variables: Option<Vec<ic::EnvironmentVariable>>,
}

#[derive(CandidType, Deserialize)]
struct Creation {
    settings: Option<Settings>,
}

#[derive(CandidType, Deserialize)]
struct Create {
    amount: Nat,
    creation_args: Option<Creation>,
}

#[derive(CandidType, Deserialize, Debug)]
struct Created {
    block_id: Nat,
    canister_id: Principal,
}

#[derive(CandidType, Deserialize, Debug)]
enum CreateError {
    FailedToCreate { error: String },
}

fn account(owner: Principal) -> WireAccount {
    WireAccount {
        owner,
        subaccount: None,
    }
}

fn topology(kinds: &[SubnetKind]) -> Arc<Topology> {
    let plan: Vec<_> = kinds.iter().map(|kind| SubnetPlan::of(*kind)).collect();
    Arc::new(Topology::plan(&[7; 32], &plan).unwrap())
}

/// All system canisters; the user has ten trillion cycles on the ledger.
fn net() -> Net {
    let mut system = SystemPlan::seeded();
    system.cycles.push((Account::of(user()), 10 * T));
    Net::with(NetworkConfig {
        topology: topology(&[SubnetKind::Nns, SubnetKind::Ii, SubnetKind::Application]),
        system,
        ..config()
    })
}

fn arg(value: impl CandidType) -> Vec<u8> {
    encode_one(value).unwrap()
}

fn balance(net: &mut Net, owner: Principal) -> u128 {
    let reply = net.query(CYCLES_LEDGER, "icrc1_balance_of", arg(account(owner)));
    u128::try_from(&decode_one::<Nat>(&reply.unwrap()).unwrap().0).unwrap()
}

fn forward(
    net: &mut Net,
    through: Principal,
    callee: Principal,
    cycles: u64,
    method: &str,
    arg: &[u8],
) -> (u128, Vec<u8>) {
    let message = [
        callee.as_slice(),
        &cycles.to_le_bytes(),
        &(method.len() as u32).to_le_bytes(),
        method.as_bytes(),
        arg,
    ]
    .concat();
    let mut reply = net.call(through, "forward", message).unwrap();
    let rest = reply.split_off(16);
    (u128::from_le_bytes(reply.try_into().unwrap()), rest)
}

#[test]
fn system_canisters_are_where_the_public_network_has_them() {
    let net = net();
    let topology = net.network.topology();
    for (id, kind) in [
        (ICP_LEDGER, SubnetKind::Nns),
        (CYCLES_MINTING, SubnetKind::Nns),
        (CYCLES_LEDGER, SubnetKind::Ii),
    ] {
        assert_eq!(topology.subnet_of(&id).unwrap().kind, kind);
        let view = net.network.canister(&id).unwrap();
        assert_eq!(view.controllers, [] as [Principal; 0]);
    }
    assert_eq!(ICP_LEDGER.to_text(), "ryjl3-tyaaa-aaaaa-aaaba-cai");
    assert_eq!(CYCLES_MINTING.to_text(), "rkp4c-7iaaa-aaaaa-aaaca-cai");
    assert_eq!(CYCLES_LEDGER.to_text(), "um5iw-rqaaa-aaaaq-qaaba-cai");
    net.check_cycles();
}

#[test]
fn a_canister_without_a_subnet_for_its_id_is_left_out() {
    let network = Network::new(NetworkConfig {
        topology: topology(&[SubnetKind::Nns, SubnetKind::Application]),
        system: SystemPlan::seeded(),
        ..config()
    });
    assert!(network.canister(&ICP_LEDGER).is_some());
    assert!(network.canister(&CYCLES_LEDGER).is_none());
    assert_eq!(network.cycles().minted, 0);
}

#[test]
fn users_transfer_cycles_and_the_fee_is_gone() {
    let mut net = net();
    let transfer = |amount: u128| {
        arg(Transfer {
            to: account(stranger()),
            amount: amount.into(),
        })
    };
    let reply = net.call(CYCLES_LEDGER, "icrc1_transfer", transfer(T));
    let sent: Result<Nat, TransferError> = decode_one(&reply.unwrap()).unwrap();
    assert_eq!(sent, Ok(Nat::from(2_u8)), "after the two first balances");
    assert_eq!(balance(&mut net, stranger()), T);
    assert_eq!(balance(&mut net, user()), 9 * T - FEE);
    assert_eq!(net.network.cycles().spent, FEE);
    let reply = net.call(CYCLES_LEDGER, "icrc1_transfer", transfer(9 * T));
    let sent: Result<Nat, TransferError> = decode_one(&reply.unwrap()).unwrap();
    let balance = (9 * T - FEE).into();
    assert_eq!(sent, Err(TransferError::InsufficientFunds { balance }));
    net.check_cycles();
}

#[test]
fn unknown_methods_and_traps_are_rejected_as_those_of_modules_are() {
    let mut net = net();
    let unknown = net.call(CYCLES_LEDGER, "fly", arg(())).unwrap_err();
    assert_eq!(unknown.error, Some(ErrorCode::CanisterMethodNotFound));
    assert_eq!(
        plain(&unknown),
        "Error from Canister um5iw-rqaaa-aaaaq-qaaba-cai: Canister has no update method 'fly'."
    );
    let update = net.query(CYCLES_LEDGER, "icrc1_transfer", arg(()));
    assert_eq!(
        update.unwrap_err().error,
        Some(ErrorCode::CanisterMethodNotFound)
    );
    let trap = net
        .call(CYCLES_LEDGER, "icrc1_transfer", b"junk".to_vec())
        .unwrap_err();
    assert_eq!(trap.code, RejectCode::CanisterError);
    assert_eq!(trap.error, Some(ErrorCode::CanisterCalledTrap));
    let query = net.call(CYCLES_LEDGER, "icrc1_symbol", arg(())).unwrap();
    assert_eq!(decode_one::<String>(&query).unwrap(), "TCYCLES");
    net.check_cycles();
}

#[test]
fn canisters_deposit_and_get_cycles_back() {
    let mut net = net();
    let canister = net.canister(FORWARDER);
    let deposit = arg(Deposit {
        to: account(user()),
    });
    let before = balance(&mut net, user());
    let (refund, _) = forward(
        &mut net,
        canister,
        CYCLES_LEDGER,
        T as u64,
        "deposit",
        &deposit,
    );
    assert_eq!(refund, 0);
    assert_eq!(balance(&mut net, user()), before + T - FEE);
    let (refund, text) = forward(
        &mut net,
        canister,
        CYCLES_LEDGER,
        FEE as u64,
        "deposit",
        &deposit,
    );
    assert_eq!(refund, FEE, "a trap takes nothing");
    assert!(
        String::from_utf8(text)
            .unwrap()
            .contains("Cannot deposit 0 cycles")
    );
    let unknown = forward(&mut net, canister, CYCLES_LEDGER, 5, "fly", &[]);
    assert_eq!(unknown.0, 5);
    let held = net.network.balance(&canister).unwrap();
    let withdraw = arg(Withdraw {
        amount: T.into(),
        to: canister,
    });
    let reply = net.call(CYCLES_LEDGER, "withdraw", withdraw).unwrap();
    assert!(
        decode_one::<Result<Nat, candid::Reserved>>(&reply)
            .unwrap()
            .is_ok()
    );
    assert_eq!(net.network.balance(&canister), Some(held + T));
    net.check_cycles();
}

#[test]
fn the_ledger_creates_canisters_as_settings_say() {
    let mut net = net();
    let create = |amount: u128, variable: &str| {
        arg(Create {
            amount: amount.into(),
            creation_args: Some(Creation {
                settings: Some(Settings {
                    controllers: Some(vec![user(), stranger()]),
                    environment_variables: Some(vec![ic::EnvironmentVariable {
                        name: variable.to_owned(),
                        value: "1".to_owned(),
                    }]),
                }),
            }),
        })
    };
    let reply = net.call(CYCLES_LEDGER, "create_canister", create(2 * T, "A"));
    let created: Result<Created, CreateError> = decode_one(&reply.unwrap()).unwrap();
    let id = created.unwrap().canister_id;
    assert_eq!(net.network.balance(&id), Some(2 * T - T / 2));
    let status = net.status_of(id);
    assert_eq!(status.settings.controllers.len(), 2);
    assert_eq!(status.settings.environment_variables.len(), 1);
    assert_eq!(
        net.network.subnet_of(&id).unwrap().kind,
        SubnetKind::Application
    );
    net.check_cycles();
    let too_long = "A".repeat(200);
    for (amount, variable) in [(T, too_long.as_str()), (T / 4, "A")] {
        let before = balance(&mut net, user());
        let reply = net.call(CYCLES_LEDGER, "create_canister", create(amount, variable));
        let created: Result<Created, CreateError> = decode_one(&reply.unwrap()).unwrap();
        assert!(created.is_err(), "{created:?}");
        // A fee for each block, and the penalty.
        assert_eq!(balance(&mut net, user()), before - 3 * FEE);
        net.check_cycles();
    }
}

#[test]
fn canisters_create_canisters_with_the_cycles_of_a_call() {
    let mut net = net();
    let canister = net.canister(FORWARDER);
    #[derive(CandidType)]
    struct NoArgs {}
    let (refund, reply) = forward(
        &mut net,
        canister,
        CYCLES_MINTING,
        T as u64,
        "create_canister",
        &arg(NoArgs {}),
    );
    assert_eq!(refund, 0);
    let id: Result<Principal, candid::Reserved> = decode_one(&reply).unwrap();
    let view = net.network.canister(&id.unwrap()).unwrap();
    assert_eq!(view.controllers, [canister]);
    net.check_cycles();
}

#[test]
fn created_canisters_know_that_the_cycles_minting_canister_created_them() {
    let mut net = net();
    let canister = net.canister(FORWARDER);
    let info = |net: &mut Net, id: Principal| -> ic::CanisterInfoResult {
        let asked = ic::CanisterInfoArgs {
            canister_id: id,
            num_requested_changes: Some(5),
        };
        let reply = net.query(
            Principal::management_canister(),
            "canister_info",
            encode_one(asked).unwrap(),
        );
        decode_one(&reply.unwrap()).unwrap()
    };
    let created = arg(Create {
        amount: T.into(),
        creation_args: Some(Creation {
            settings: Some(Settings {
                controllers: Some(vec![stranger()]),
                environment_variables: Some(vec![]),
            }),
        }),
    });
    let reply = net.call(CYCLES_LEDGER, "create_canister", created).unwrap();
    let by_ledger: Result<Created, CreateError> = decode_one(&reply).unwrap();
    #[derive(CandidType)]
    struct NoArgs {}
    let (_, reply) = forward(
        &mut net,
        canister,
        CYCLES_MINTING,
        T as u64,
        "create_canister",
        &arg(NoArgs {}),
    );
    let by_canister: Result<Principal, candid::Reserved> = decode_one(&reply).unwrap();
    for (id, controller, variables) in [
        (by_ledger.unwrap().canister_id, stranger(), true),
        (by_canister.unwrap(), canister, false),
    ] {
        let info = info(&mut net, id);
        assert_eq!(info.total_num_changes, 1);
        let [change] = &info.recent_changes[..] else {
            panic!("{info:?}")
        };
        assert_eq!(change.canister_version, 0);
        let ic::ChangeOrigin::FromCanister(origin) = &change.origin else {
            panic!("{change:?}")
        };
        assert_eq!(origin.canister_id, CYCLES_MINTING);
        assert!(origin.canister_version.is_some());
        let Some(ic::ChangeDetails::Creation(creation)) = &change.details else {
            panic!("{change:?}")
        };
        assert_eq!(creation.controllers, [controller]);
        assert_eq!(creation.environment_variables_hash.is_some(), variables);
    }
    net.check_cycles();
}

#[test]
fn nobody_controls_system_canisters() {
    let mut net = net();
    let stop = ic::CanisterIdRecord {
        canister_id: CYCLES_LEDGER,
    };
    let refused = net.manage("stop_canister", &stop).unwrap_err();
    assert_eq!(refused.error, Some(ErrorCode::CanisterInvalidController));
}

#[test]
fn the_same_calls_give_the_same_network() {
    let run = || {
        let mut net = net();
        let transfer = arg(Transfer {
            to: account(stranger()),
            amount: T.into(),
        });
        net.call(CYCLES_LEDGER, "icrc1_transfer", transfer).unwrap();
        net.network.digest()
    };
    assert_eq!(run(), run());
}

/// The answers of all queries without an argument, by the published interfaces.
#[test]
fn the_interfaces_say_what_is_answered() {
    let mut net = net();
    for id in [CYCLES_LEDGER, ICP_LEDGER, CYCLES_MINTING] {
        let view = net.network.canister(&id).unwrap();
        let [section] = view.metadata else {
            panic!("{:?}", view.metadata)
        };
        assert_eq!(
            (section.name.as_str(), section.public),
            ("candid:service", true)
        );
        let text = String::from_utf8(section.content.clone()).unwrap();
        let program: candid_parser::IDLProg = text.parse().unwrap();
        let mut types = candid_parser::TypeEnv::new();
        let service = candid_parser::check_prog(&mut types, &program)
            .unwrap()
            .unwrap();
        for (method, ty) in types.as_service(&service).unwrap() {
            let function = types.as_func(ty).unwrap();
            let no_method = Some(ErrorCode::CanisterMethodNotFound);
            // No method takes this, so every one that there is decodes it in vain, or needs no argument.
            let answer = if function.is_query() {
                net.query(id, method, encode_one(()).unwrap())
            } else {
                net.call(id, method, b"junk".to_vec())
            };
            match answer {
                Err(reject) => assert_ne!(reject.error, no_method, "{method}"),
                Ok(reply) => {
                    candid_parser::IDLArgs::from_bytes_with_types(&reply, &types, &function.rets)
                        .unwrap_or_else(|error| panic!("{method}: {error}"));
                }
            }
        }
    }
}
