//! Those who administer a subnet, and what that lets them do.

use assay_localnet_core::{
    topology::{SubnetKind, SubnetPlan},
    types::{ErrorCode, Reject},
};
use candid::{Principal, encode_one};
use ic_management_canister_types as ic;

use super::{MANAGEMENT, code_of, decoded, forward, forwarder, queries::ask, record, set};
use crate::harness::{Net, config_with, plain, stranger, user};

fn admin() -> Principal {
    Principal::self_authenticating([3])
}

/// The root subnet, one that `admin` administers, and one that nobody does.
fn rented() -> Net {
    let mut rented = SubnetPlan::of(SubnetKind::Application);
    rented.admins = vec![admin()];
    Net::with(config_with(&[
        rented,
        SubnetPlan::of(SubnetKind::Application),
    ]))
}

fn create(net: &mut Net, who: Principal, subnet: usize) -> Result<Principal, Reject> {
    let at = net.network.topology().subnets()[subnet].id;
    let arg = ic::CreateCanisterArgs {
        settings: Some(ic::CanisterSettings {
            controllers: Some(vec![user()]),
            ..Default::default()
        }),
        sender_canister_version: None,
    };
    let arg = encode_one(arg).unwrap();
    let id = net.submit_at(at, who, MANAGEMENT, "create_canister", arg)?;
    let reply = net.wait(&id)?;
    Ok(decoded::<ic::CanisterIdRecord>(&reply).canister_id)
}

fn as_admin(net: &mut Net, method: &str, id: Principal) -> Result<Vec<u8>, Reject> {
    let arg = encode_one(record(id)).unwrap();
    net.call_as(admin(), MANAGEMENT, method, arg)
}

#[test]
fn they_create_canisters_there_for_nothing() {
    let mut net = rented();
    let id = create(&mut net, admin(), 1).unwrap();
    let subnet = net.network.topology().subnets()[1].id;
    assert_eq!(net.network.subnet_of(&id).unwrap().id, subnet);
    assert_eq!(net.network.balance(&id), Some(0));
    assert_eq!(
        net.network.cycles().spent,
        0,
        "a rented subnet is paid for already"
    );
    assert_eq!(
        code_of(create(&mut net, user(), 1)),
        Some(ErrorCode::InvalidSubnetAdmin)
    );
    for who in [admin(), user()] {
        let reject = create(&mut net, who, 2).unwrap_err();
        assert_eq!(reject.error, Some(ErrorCode::CanisterRejectedMessage));
        assert_eq!(
            plain(&reject),
            "Only canisters can call ic00 method create_canister"
        );
    }
    net.check_cycles();
}

#[test]
fn they_end_what_they_do_not_control_but_do_not_change_it() {
    let mut net = rented();
    let at = net.network.topology().subnets()[1].id;
    let id = net.create_at(at, None).unwrap();
    for method in ["canister_status", "canister_metrics"] {
        as_admin(&mut net, method, id).unwrap();
        ask(&mut net, admin(), method, &record(id)).unwrap();
        assert!(ask(&mut net, stranger(), method, &record(id)).is_err());
    }
    for method in [
        "stored_chunks",
        "clear_chunk_store",
        "take_canister_snapshot",
    ] {
        assert_eq!(
            code_of(as_admin(&mut net, method, id)),
            Some(ErrorCode::CanisterInvalidController),
            "{method}"
        );
    }
    let settings = ic::UpdateSettingsArgs {
        canister_id: id,
        settings: ic::CanisterSettings::default(),
        sender_canister_version: None,
    };
    let arg = encode_one(settings).unwrap();
    assert_eq!(
        code_of(net.call_as(admin(), MANAGEMENT, "update_settings", arg)),
        Some(ErrorCode::CanisterInvalidController)
    );
    for method in [
        "uninstall_code",
        "stop_canister",
        "start_canister",
        "stop_canister",
    ] {
        as_admin(&mut net, method, id).unwrap();
    }
    as_admin(&mut net, "delete_canister", id).unwrap();
    assert!(net.network.canister(&id).is_none());
    net.check_cycles();
}

#[test]
fn they_have_no_say_elsewhere() {
    let mut net = rented();
    let at = net.network.topology().subnets()[2].id;
    let id = net.create_at(at, None).unwrap();
    for method in [
        "uninstall_code",
        "stop_canister",
        "start_canister",
        "canister_metrics",
    ] {
        let reject = as_admin(&mut net, method, id).unwrap_err();
        assert_eq!(reject.error, Some(ErrorCode::CanisterInvalidController));
    }
    assert_eq!(
        code_of(as_admin(&mut net, "canister_status", id)),
        Some(ErrorCode::CanisterStatusAccessDenied)
    );
}

#[test]
fn canisters_are_told_who_could_have_done_it() {
    let mut net = rented();
    let at = net.network.topology().subnets()[1].id;
    let id = net.create_at(at, None).unwrap();
    let by = net.canister_on(1, super::FORWARDER);
    let (code, message) = forward(&mut net, by, "stop_canister", &record(id), 0).unwrap_err();
    assert_eq!(code, 5);
    assert!(
        message.contains(&format!("Canister's controllers: {}\n", user()))
            && message.contains(&format!("Subnet admins: {}\n", admin()))
            && message.contains(&format!("Sender's ID: {by}\n")),
        "{message}"
    );
}

#[test]
fn cycles_are_told_apart_by_what_they_were_for() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let created = ic::CreateCanisterArgs::default();
    let reply = forward(&mut net, by, "create_canister", &created, 2_000_000_000_000).unwrap();
    let id = decoded::<ic::CanisterIdRecord>(&reply).canister_id;
    let metrics = |net: &mut Net, id: Principal| {
        let reply = forward(net, by, "canister_metrics", &record(id), 0).unwrap();
        decoded::<ic::CanisterMetricsResult>(&reply).cycles_consumed
    };
    let fresh = metrics(&mut net, id);
    assert_eq!(fresh.canister_creation, 500_000_000_000u64);
    assert_eq!(fresh.instructions, 0u8);
    assert_eq!(fresh.ingress_induction, 0u8);

    let own = net.canister(
        r#"(func (export "canister_update go")
             (call $cycles_burn128 (i64.const 0) (i64.const 777) (i32.const 100)) (call $msg_reply))"#,
    );
    let start = ic::CanisterSettings {
        compute_allocation: Some(1u8.into()),
        ..Default::default()
    };
    set(&mut net, own, start).unwrap();
    let read = |net: &mut Net| -> ic::CyclesConsumed {
        let reply = ask(net, user(), "canister_metrics", &record(own)).unwrap();
        decoded::<ic::CanisterMetricsResult>(&reply).cycles_consumed
    };
    let sum = |consumed: &ic::CyclesConsumed| {
        let parts = [
            &consumed.memory,
            &consumed.compute_allocation,
            &consumed.ingress_induction,
            &consumed.instructions,
            &consumed.request_and_response_transmission,
            &consumed.uninstall,
            &consumed.canister_creation,
            &consumed.http_outcalls,
            &consumed.burned_cycles,
        ];
        parts
            .into_iter()
            .map(|part| u128::try_from(&part.0).unwrap())
            .sum::<u128>()
    };
    net.call(own, "go", "").unwrap();
    net.advance(1_000);
    net.rounds(2);
    let told = read(&mut net);
    let spent = 100_000_000_000_000 - net.network.balance(&own).unwrap();
    assert_eq!(sum(&told), spent, "{told:?}");
    assert_eq!(told.burned_cycles, 777u16);
    assert_eq!(
        told.compute_allocation,
        10_000_000u128 * 1_000,
        "one percent for a thousand seconds"
    );
    assert!(told.memory > 0u8 && told.instructions > 0u8);
    net.check_cycles();
}

#[test]
fn canisters_learn_what_a_subnet_has_done() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let subnet_id = net.network.subnet_of(&by).unwrap().id;
    let arg = ic::SubnetMetricsArgs { subnet_id };
    let metrics = |net: &mut Net| -> ic::SubnetMetricsResult {
        decoded(&forward(net, by, "subnet_metrics", &arg, 0).unwrap())
    };
    let before = metrics(&mut net);
    assert_eq!(before.num_canisters, 1u8);
    assert!(before.canister_state_bytes > 65_536u32 && before.consumed_cycles_total > 0u8);
    let other = net.create();
    let after = metrics(&mut net);
    assert_eq!(after.num_canisters, 2u8);
    for (then, now) in [
        (&before.block_height, &after.block_height),
        (
            &before.update_transactions_total,
            &after.update_transactions_total,
        ),
        (&before.consumed_cycles_total, &after.consumed_cycles_total),
    ] {
        assert!(then < now);
    }
    assert!(before.million_round_instructions_total <= after.million_round_instructions_total);
    let nowhere = ic::SubnetMetricsArgs { subnet_id: other };
    let (code, message) = forward(&mut net, by, "subnet_metrics", &nowhere, 0).unwrap_err();
    assert!(code == 4 && message.contains("not found"), "{message}");
}
