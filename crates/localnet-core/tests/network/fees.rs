//! What things cost canisters, to the cycle.

use assay_localnet_core::{cycles::Prices, types::ErrorCode};
use ic_management_canister_types as ic;

use crate::{
    cycles::{PAYER, TAKER},
    harness::{Net, plain, stranger, wasm},
};

const USUAL: Prices = Prices::of_nodes(13);

/// Answers, and has a page of memory.
const ANSWERER: &str = r#"(func (export "canister_update go") (call $msg_reply))
    (func (export "canister_query ask") (call $msg_reply))"#;

fn settings(
    canister_id: candid::Principal,
    settings: ic::CanisterSettings,
) -> ic::UpdateSettingsArgs {
    ic::UpdateSettingsArgs {
        canister_id,
        settings,
        sender_canister_version: None,
    }
}

/// What an update of a canister's balance costs it.
fn cost_of(net: &mut Net, id: candid::Principal, work: impl FnOnce(&mut Net)) -> u128 {
    let before = net.network.balance(&id).unwrap();
    work(net);
    before - net.network.balance(&id).unwrap()
}

#[test]
fn a_call_takes_what_canisters_are_told_that_it_costs() {
    const TELLER: &str = r#"
        (table 1 funcref)
        (elem (i32.const 0) $back)
        (data (i32.const 600) "take")
        (func $back (param i32))
        (func (export "canister_update tell")
          (drop (call $arg))
          (call $cost_call (i64.const 4) (i64.const 30) (i32.const 700))
          (call $canister_cycle_balance128 (i32.const 716))
          (call $call_new (i32.const 1000) (i32.const 10) (i32.const 600) (i32.const 4)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
          (call $call_data_append (i32.const 1000) (i32.const 30))
          (drop (call $call_perform))
          (call $canister_cycle_balance128 (i32.const 732))
          (call $msg_reply_data_append (i32.const 700) (i32.const 48))
          (call $msg_reply))"#;
    let mut net = Net::new();
    let (teller, taker) = (net.canister(TELLER), net.canister(TAKER));
    let reply = net.call(teller, "tell", taker.as_slice()).unwrap();
    let numbers: Vec<_> = reply
        .chunks(16)
        .map(|bytes| u128::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    let [told, before, after] = numbers[..] else {
        panic!("{numbers:?}")
    };
    assert_eq!(told, before - after);
    let longest = USUAL.execution(40_000_000_000, false);
    assert_eq!(told, 260_000 + 34 * 1_000 + longest + (2 << 20) * 1_000);
    net.settle();
    net.check_cycles();
    // All but the call, its answer's bytes and the callback's instructions has come back.
    let balance = net.network.balance(&teller).unwrap();
    assert!(balance > before && balance - before > longest - 20_000_000);
}

#[test]
fn an_ingress_message_is_paid_for_when_it_comes_in() {
    let mut net = Net::new();
    let id = net.canister(ANSWERER);
    let cost = cost_of(&mut net, id, |net| {
        net.submit(id, "go", [0; 1_000]);
    });
    assert_eq!(cost, 1_200_000 + 2_000 * 1_002, "the method's name counts");
    net.settle();
    let about = cost_of(&mut net, id, |net| {
        let arg = ic::CanisterIdRecord { canister_id: id };
        net.manage("canister_status", &arg).unwrap();
    });
    let bytes = candid::encode_one(ic::CanisterIdRecord { canister_id: id })
        .unwrap()
        .len();
    assert_eq!(
        about,
        USUAL.ingress((bytes + "canister_status".len()) as u64),
        "the canister that a message to the management canister is about pays"
    );
    net.check_cycles();
}

#[test]
fn every_byte_of_an_envelope_is_paid_for() {
    let mut net = Net::new();
    let id = net.canister(ANSWERER);
    let mut sent = 0;
    let mut cost = |bytes: u64| {
        sent += 1;
        cost_of(&mut net, id, |net| {
            let message = assay_localnet_core::types::Ingress {
                id: assay_localnet_core::types::RequestId([sent; 32]),
                sender: stranger(),
                canister: id,
                effective_canister: id,
                method: "go".into(),
                arg: vec![],
                info: None,
                expiry: net.network.time().plus_nanos(1_000_000_000),
                bytes,
            };
            net.network.submit(message).unwrap();
        })
    };
    // 1.2 M cycles for the message, and 2 k for each of its bytes.
    assert_eq!(cost(0), 1_200_000);
    assert_eq!(cost(300), 1_800_000);
    assert_eq!(cost(2 << 20), 1_200_000 + 4_194_304_000);
    net.settle();
    net.check_cycles();
}

#[test]
fn short_new_settings_are_paid_for_once_they_are_there() {
    let mut net = Net::new();
    let id = net.canister(ANSWERER);
    let threshold = |seconds: u64| {
        let change = ic::CanisterSettings {
            freezing_threshold: Some(seconds.into()),
            ..Default::default()
        };
        settings(id, change)
    };
    let fee = |arg: &ic::UpdateSettingsArgs| {
        let bytes = candid::encode_one(arg).unwrap().len() + "update_settings".len();
        USUAL.ingress(bytes as u64)
    };
    let arg = threshold(1_000_000);
    let before = net.network.balance(&id).unwrap();
    let request = net.submit(
        candid::Principal::management_canister(),
        "update_settings",
        candid::encode_one(&arg).unwrap(),
    );
    assert_eq!(net.network.balance(&id), Some(before), "nothing yet");
    net.wait(&request).unwrap();
    assert_eq!(net.network.balance(&id), Some(before - fee(&arg)));
    // Whoever freezes a canister by its settings does not pay for that.
    let frozen = threshold(1 << 50);
    let cost = cost_of(&mut net, id, |net| {
        net.manage("update_settings", &frozen).unwrap();
    });
    assert_eq!(cost, 0);
    let thawed = threshold(1);
    let cost = cost_of(&mut net, id, |net| {
        net.manage("update_settings", &thawed).unwrap();
    });
    assert_eq!(cost, fee(&thawed));
    net.check_cycles();
}

#[test]
fn memory_and_processors_are_charged_every_ten_seconds() {
    let mut net = Net::new();
    let id = net.canister(ANSWERER);
    let change = ic::CanisterSettings {
        compute_allocation: Some(3u8.into()),
        ..Default::default()
    };
    net.manage("update_settings", &settings(id, change))
        .unwrap();
    let bytes = u64::try_from(&net.status_of(id).memory_size.0).unwrap();
    assert!(bytes > 65_536);
    for (seconds, charged) in [(9, 0), (1, 10), (25, 25), (5, 0), (5, 10), (86_400, 86_400)] {
        let cost = cost_of(&mut net, id, |net| {
            net.advance(seconds);
            net.rounds(2);
        });
        let expected = USUAL.idle(bytes, 3, charged);
        assert_eq!(cost, expected, "after {seconds} seconds");
    }
    net.check_cycles();
}

#[test]
fn kept_memory_is_charged_as_if_it_were_used() {
    let mut net = Net::new();
    let id = net.canister(ANSWERER);
    let change = ic::CanisterSettings {
        memory_allocation: Some((1u64 << 30).into()),
        ..Default::default()
    };
    net.manage("update_settings", &settings(id, change))
        .unwrap();
    let cost = cost_of(&mut net, id, |net| {
        net.advance(100);
        net.rounds(1);
    });
    assert_eq!(cost, 100 * 127_000);
    let idle = net.status_of(id).idle_cycles_burned_per_day;
    assert_eq!(idle, 127_000u64 * 86_400);
}

#[test]
fn a_canister_that_cannot_pay_for_its_memory_is_uninstalled() {
    let mut net = Net::new();
    let id = net.create_with(400_000_000_000);
    let install = ic::CanisterInstallMode::Install;
    let waiting = net.canister(PAYER);
    net.install_code(id, install, wasm(ANSWERER), b"").unwrap();
    let change = ic::CanisterSettings {
        freezing_threshold: Some(0u8.into()),
        compute_allocation: Some(100u8.into()),
        memory_allocation: Some((1u64 << 30).into()),
        ..Default::default()
    };
    net.manage("update_settings", &settings(id, change))
        .unwrap();
    net.advance(300);
    net.rounds(1);
    assert!(net.network.canister(&id).unwrap().module_hash.is_some());
    net.advance(300);
    net.rounds(1);
    assert_eq!(net.network.canister(&id).unwrap().module_hash, None);
    assert_eq!(net.network.balance(&id), Some(0), "nothing is left of it");
    let query = assay_localnet_core::types::Query {
        sender: crate::harness::user(),
        canister: candid::Principal::management_canister(),
        method: "canister_status".into(),
        arg: candid::encode_one(ic::CanisterIdRecord { canister_id: id }).unwrap(),
        info: None,
    };
    let reply = net.network.query(&query, None).unwrap();
    let status: ic::CanisterStatusResult = candid::decode_one(&reply).unwrap();
    assert_eq!(status.memory_size, 0u8);
    assert_eq!(status.settings.compute_allocation, 0u8);
    assert_eq!(status.settings.memory_allocation, 0u8);
    assert!(
        net.network
            .canister(&waiting)
            .unwrap()
            .module_hash
            .is_some()
    );
    net.check_cycles();
}

#[test]
fn a_frozen_canister_says_what_is_missing_to_those_who_control_it() {
    let mut net = Net::new();
    let id = net.canister(ANSWERER);
    let threshold = |seconds: u64| ic::CanisterSettings {
        freezing_threshold: Some(seconds.into()),
        ..Default::default()
    };
    let century = 100 * 365 * 86_400;
    let bytes = u64::try_from(&net.status_of(id).memory_size.0).unwrap();
    net.manage(
        "update_settings",
        &settings(id, threshold(century * 100_000)),
    )
    .unwrap();
    let balance = net.network.balance(&id).unwrap();
    let needed = USUAL.freezing(bytes, 0, century * 100_000) + USUAL.ingress(2);
    let missing = candid::Nat::from(needed - balance).to_string();
    let reject = net.call(id, "go", "").unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterOutOfCycles));
    assert_eq!(
        plain(&reject),
        format!(
            "Canister {id} is out of cycles: please top up the canister with at least {missing} additional cycles"
        )
    );
    let reject = net.call_as(stranger(), id, "go", "").unwrap_err();
    assert_eq!(plain(&reject), format!("Canister {id} is out of cycles"));
    let reject = net.query(id, "ask", "").unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterOutOfCycles));
    assert_eq!(
        plain(&reject),
        format!(
            "Canister {id} is unable to process query calls because it's frozen. Please top up the canister with \
             cycles and try again."
        )
    );
    let arg = ic::CanisterIdRecord { canister_id: id };
    let reject = net.manage("canister_status", &arg).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterOutOfCycles));
    net.manage("update_settings", &settings(id, threshold(1)))
        .unwrap();
    assert_eq!(net.call(id, "go", ""), Ok(vec![]), "thawed");
    net.check_cycles();
}

#[test]
fn allocations_that_cannot_be_paid_for_are_refused() {
    let mut net = Net::new();
    let id = net.create_with(1_000_000_000_000);
    let compute = ic::CanisterSettings {
        compute_allocation: Some(1u8.into()),
        ..Default::default()
    };
    // 30 days of one percent are 25.92 T, and what the history of the canister takes.
    let held = u64::try_from(&net.status_of(id).memory_size.0).unwrap();
    let needed = USUAL.freezing(held, 1, 2_592_000);
    assert_eq!(needed / 1_000_000_000, 25_920);
    let missing = needed - net.network.balance(&id).unwrap();
    let arg = settings(id, compute);
    let reject = net.manage("update_settings", &arg).unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::InsufficientCyclesInComputeAllocation)
    );
    let missing = candid::Nat::from(missing);
    assert_eq!(
        plain(&reject),
        format!(
            "Cannot increase compute allocation to 1% due to insufficient cycles. At least {missing} additional cycles \
             are required."
        )
    );
    let memory = |bytes: u64| ic::CanisterSettings {
        memory_allocation: Some(bytes.into()),
        ..Default::default()
    };
    let reject = net
        .manage("update_settings", &settings(id, memory(10 << 30)))
        .unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::InsufficientCyclesInMemoryAllocation)
    );
    let reject = net
        .manage("update_settings", &settings(id, memory(3 << 40)))
        .unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::SubnetOversubscribed));
    assert_eq!(
        plain(&reject),
        "Canister requested 3.00 TiB of memory but only 2.00 TiB are available in the subnet."
    );
    net.check_cycles();
}

#[test]
fn the_canisters_of_a_subnet_keep_at_most_299_percent_together() {
    let mut net = Net::new();
    let ids: Vec<_> = (0..3)
        .map(|_| net.create_with(100_000_000_000_000_000))
        .collect();
    let keep = |percent: u8| ic::CanisterSettings {
        compute_allocation: Some(percent.into()),
        ..Default::default()
    };
    for id in &ids[..2] {
        net.manage("update_settings", &settings(*id, keep(100)))
            .unwrap();
    }
    let reject = net
        .manage("update_settings", &settings(ids[2], keep(100)))
        .unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::SubnetOversubscribed));
    assert_eq!(
        plain(&reject),
        "Canister requested a compute allocation of 100% which cannot be satisfied because the Subnet's remaining \
         compute capacity is 99%."
    );
    net.manage("update_settings", &settings(ids[2], keep(99)))
        .unwrap();
    net.manage("update_settings", &settings(ids[2], keep(98)))
        .unwrap();
}

#[test]
fn memory_on_a_full_subnet_is_paid_for_ahead_within_the_canisters_limit() {
    let mut net = Net::new();
    let id = net.create_with(100_000_000_000_000_000);
    let change = |gib: u64, limit: u128| ic::CanisterSettings {
        memory_allocation: Some((gib << 30).into()),
        reserved_cycles_limit: Some(limit.into()),
        ..Default::default()
    };
    let reserved = |net: &mut Net| u128::try_from(&net.status_of(id).reserved_cycles.0).unwrap();
    let most = 5_000_000_000_000;
    net.manage("update_settings", &settings(id, change(450, most)))
        .unwrap();
    assert_eq!(reserved(&mut net), 0);
    let reject = net
        .manage("update_settings", &settings(id, change(600, most)))
        .unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::ReservedCyclesLimitExceededInMemoryAllocation)
    );
    net.manage("update_settings", &settings(id, change(460, 100 * most)))
        .unwrap();
    let set_aside = USUAL.reservation(450 << 30, 10 << 30);
    assert!(set_aside > 0);
    assert_eq!(reserved(&mut net), set_aside);
    net.check_cycles();
    let reject = net
        .manage("update_settings", &settings(id, change(460, 1)))
        .unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::ReservedCyclesLimitIsTooLow));
    let before = net.network.balance(&id);
    net.advance(10);
    net.rounds(1);
    assert_eq!(
        net.network.balance(&id),
        before,
        "paid from what was set aside"
    );
    net.check_cycles();
}
