//! What installing modules costs, to the cycle.

use assay_localnet_core::{cycles::Prices, types::ErrorCode};
use candid::{Principal, encode_one};
use ic_management_canister_types as ic;

use crate::harness::Net;

const USUAL: Prices = Prices::of_nodes(13);
/// Any message that is executed.
const MESSAGE: u128 = 5_000_000;

/// What installing costs beyond the message that asks for it, and whether it worked.
fn cost(net: &mut Net, id: Principal, mode: ic::CanisterInstallMode, module: &str) -> (u128, bool) {
    let arg = ic::InstallCodeArgs {
        mode,
        canister_id: id,
        wasm_module: wat::parse_str(module).unwrap(),
        arg: vec![],
        sender_canister_version: None,
    };
    let fee = USUAL.ingress((encode_one(&arg).unwrap().len() + "install_code".len()) as u64);
    let before = net.network.balance(&id).unwrap();
    let answer = net.manage("install_code", &arg);
    let cost = before - net.network.balance(&id).unwrap() - fee;
    net.check_cycles();
    (cost, answer.is_ok())
}

#[test]
fn compiling_costs_every_operator_of_the_module_as_it_is_compiled() {
    // Each module has 72 operators that are added to it: functions of 20 and 46, and three globals with two each. The
    // function has its end, and ten before it that count instructions.
    let module = r#"(module (func (export "canister_init")))"#;
    let mut net = Net::new();
    let id = net.create();
    assert_eq!(
        cost(&mut net, id, ic::CanisterInstallMode::Install, module),
        (MESSAGE + 20_000_000 + (72 + 11) * 6_000 + 1, true),
        "and entering canister_init costs one"
    );
    // The subnet has compiled it already, for whichever canister.
    let again = MESSAGE + 20_000_000 + (72 + 11) * 60 + 1;
    assert_eq!(
        cost(&mut net, id, ic::CanisterInstallMode::Reinstall, module),
        (again, true)
    );
    let other = net.create();
    assert_eq!(
        cost(&mut net, other, ic::CanisterInstallMode::Install, module),
        (again, true)
    );
    // A global is its value and an end; there is nothing to execute.
    let longer = r#"(module (global i32 (i32.const 0)) (func nop nop))"#;
    assert_eq!(
        cost(
            &mut net,
            other,
            ic::CanisterInstallMode::Upgrade(None),
            longer
        ),
        (MESSAGE + 20_000_000 + (72 + 2 + 13) * 6_000, true)
    );
}

#[test]
fn modules_that_are_refused_cost_every_byte() {
    let mut net = Net::new();
    let id = net.create();
    let module = r#"(module (import "env" "f" (func)))"#;
    let bytes = wat::parse_str(module).unwrap().len() as u128;
    let refused = (MESSAGE + 20_000_000 + bytes * 6_000, false);
    for _ in 0..2 {
        let found = cost(&mut net, id, ic::CanisterInstallMode::Install, module);
        assert_eq!(found, refused, "it is not known the second time either");
    }
}

#[test]
fn what_is_known_on_one_subnet_is_not_on_another() {
    use assay_localnet_core::topology::{SubnetKind, SubnetPlan};
    let mut net = Net::with(crate::harness::config_with(&[
        SubnetPlan::of(SubnetKind::Application),
        SubnetPlan::of(SubnetKind::Application),
    ]));
    let module = "(module)";
    // The first one is the root subnet, which nobody asked for.
    for subnet in [1, 2] {
        let at = net.network.topology().subnets()[subnet].id;
        for known in [false, true] {
            let id = net.create_at(at, None).unwrap();
            let each = if known { 60 } else { 6_000 };
            assert_eq!(
                cost(&mut net, id, ic::CanisterInstallMode::Install, module),
                (MESSAGE + 20_000_000 + 72 * each, true)
            );
        }
    }
}

#[test]
fn a_canister_must_hold_what_the_longest_installation_would_cost() {
    // 300 thousand million instructions and the message, one cycle less than that, and the message that asks.
    let mut net = Net::new();
    let module = wat::parse_str("(module)").unwrap();
    let longest = USUAL.execution(300_000_000_000, false);
    assert_eq!(longest, 300_000_000_000 + MESSAGE);
    for (missing, refused) in [(1, true), (0, false)] {
        let id = net.create();
        let arg = ic::InstallCodeArgs {
            mode: ic::CanisterInstallMode::Install,
            canister_id: id,
            wasm_module: module.clone(),
            arg: vec![],
            sender_canister_version: None,
        };
        let fee = USUAL.ingress((encode_one(&arg).unwrap().len() + "install_code".len()) as u64);
        let held = u64::try_from(&net.status_of(id).memory_size.0).unwrap();
        let frozen = USUAL.freezing(held, 0, 2_592_000);
        let poor = net.create_with(longest + fee + frozen - missing);
        let arg = ic::InstallCodeArgs {
            canister_id: poor,
            ..arg
        };
        let reject = net.manage("install_code", &arg);
        assert_eq!(
            reject.err().and_then(|reject| reject.error),
            refused.then_some(ErrorCode::CanisterOutOfCycles)
        );
    }
}
