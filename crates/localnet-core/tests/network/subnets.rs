//! Several subnets: who lives where, what that costs, and calls between them.

use assay_localnet_core::{
    cert::Certification,
    limits,
    topology::{CostSchedule, InstructionLimits, SubnetKind, SubnetPlan, canister_id},
    types::ErrorCode,
};
use candid::{Principal, decode_one};
use ic_management_canister_types as ic;

use crate::{
    cycles::{PAYER, TAKER, pay},
    harness::{Net, config_with, n, user},
};

/// A network with these subnets.
pub(crate) fn net(kinds: &[SubnetKind]) -> Net {
    let plan: Vec<_> = kinds.iter().copied().map(SubnetPlan::of).collect();
    Net::with(config_with(&plan))
}

/// Tells its subnet.
const WHERE: &str = r#"
    (func (export "canister_update nodes") (call $reply32 (call $subnet_self_node_count)))
    (func (export "canister_query subnet")
      (call $subnet_self_copy (i32.const 500) (i32.const 0) (call $subnet_self_size))
      (call $msg_reply_data_append (i32.const 500) (call $subnet_self_size))
      (call $msg_reply))
"#;

/// Creates a canister and gives the reply on.
const CREATOR: &str = r#"
    (table 1 funcref)
    (elem (i32.const 0) $back)
    (data (i32.const 600) "create_canister")
    (data (i32.const 700) "DIDL\01\6c\00\01\00")
    (func $back (param i32)
      (call $msg_reply_data_append (i32.const 1000) (call $arg))
      (call $msg_reply))
    (func (export "canister_update create")
      (call $call_new (i32.const 0) (i32.const 0) (i32.const 600) (i32.const 15)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $call_data_append (i32.const 700) (i32.const 9))
      (call $call_cycles_add128 (i64.const 0) (i64.const 2000000000000))
      (drop (call $call_perform)))
"#;

/// Sends so many bytes; answers with the text of the reject, or nothing.
const SENDER: &str = r#"
    (memory $m 170)
    (table 2 funcref)
    (elem (i32.const 0) $ok $no)
    (data (i32.const 600) "take")
    (func $ok (param i32) (call $msg_reply))
    (func $no (param i32)
      (call $msg_reject_msg_copy (i32.const 3000) (i32.const 0) (call $msg_reject_msg_size))
      (call $msg_reply_data_append (i32.const 3000) (call $msg_reject_msg_size))
      (call $msg_reply))
    (func (export "canister_update send")
      (drop (call $arg))
      (call $call_new (i32.const 1000) (i32.const 10) (i32.const 600) (i32.const 4)
        (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
      (call $call_data_append (i32.const 2000) (i32.load (i32.const 1010)))
      (drop (call $call_perform)))
"#;

#[test]
fn canisters_are_created_where_the_call_is_addressed() {
    use SubnetKind::{Application, Fiduciary, Ii, Nns};
    let mut net = net(&[Nns, Ii, Application, Fiduciary]);
    let topology = net.network.topology().clone();
    for subnet in topology.subnets() {
        for effective in [subnet.id, subnet.ranges[0].first_id()] {
            let id = net.create_at(effective, None).unwrap();
            assert!(subnet.allocation.contains(&id));
            assert_eq!(net.network.subnet_of(&id).unwrap().id, subnet.id);
            assert_eq!(net.network.canister(&id).unwrap().subnet, subnet.id);
        }
    }
    let default = net.create();
    assert_eq!(
        net.network.subnet_of(&default).unwrap().kind,
        Application,
        "an address that says nothing"
    );
}

#[test]
fn an_id_of_the_public_network_can_be_asked_for_where_its_subnet_is() {
    use SubnetKind::{Application, Ii, Nns};
    let mut net = net(&[Nns, Ii, Application]);
    let anywhere = net.network.topology().default_effective_canister();
    for (text, kind) in [
        ("ryjl3-tyaaa-aaaaa-aaaba-cai", Nns),
        ("um5iw-rqaaa-aaaaq-qaaba-cai", Ii),
    ] {
        let wanted = Principal::from_text(text).unwrap();
        assert_eq!(net.create_at(anywhere, Some(wanted)), Ok(wanted));
        assert_eq!(net.network.subnet_of(&wanted).unwrap().kind, kind);
        let again = net.create_at(anywhere, Some(wanted)).unwrap_err();
        assert_eq!(again.error, Some(ErrorCode::CanisterIdAlreadyExists));
    }
    let given = net.network.topology().root().allocation.last_id();
    let reject = net.create_at(anywhere, Some(given)).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::InvalidManagementPayload));
    let user = Principal::self_authenticating([1]);
    let reject = net.create_at(anywhere, Some(user)).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterNotHostedBySubnet));
}

#[test]
fn a_hidden_root_subnet_hosts_no_canisters() {
    let mut net = Net::new();
    let root = net.network.topology().root().id;
    let reject = net.create_at(root, None).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::SubnetNotFound));
    let reject = net.create_at(root, Some(canister_id(2))).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterNotHostedBySubnet));
}

#[test]
fn a_canister_creates_canisters_on_its_own_subnet() {
    use SubnetKind::{Application, System};
    let mut net = net(&[Application, System]);
    for (place, fee) in [(1, 500_000_000_000), (2, 0)] {
        let creator = net.canister_on(place, CREATOR);
        let reply = net.call(creator, "create", "").unwrap();
        let made = decode_one::<ic::CanisterIdRecord>(&reply).unwrap();
        let subnet = net.network.topology().subnets()[place].clone();
        assert!(subnet.allocation.contains(&made.canister_id));
        assert_eq!(
            net.network.balance(&made.canister_id),
            Some(2_000_000_000_000 - fee)
        );
    }
    net.check_cycles();
}

#[test]
fn canisters_are_told_their_subnet_and_its_size() {
    use SubnetKind::{Application, Nns, Sns};
    let mut net = net(&[Nns, Application, Sns]);
    for (place, nodes) in [(0, 40), (1, 13), (2, 34)] {
        let id = net.canister_on(place, WHERE);
        assert_eq!(net.call(id, "nodes", ""), Ok(n(nodes)));
        let subnet = net.network.topology().subnets()[place].id;
        assert_eq!(net.query(id, "subnet", ""), Ok(subnet.as_slice().to_vec()));
    }
}

#[test]
fn calls_and_cycles_go_from_subnet_to_subnet() {
    use SubnetKind::{Application, Ii};
    let mut net = net(&[Application, Application, Ii]);
    let payer = net.canister_on(1, PAYER);
    for place in [1, 2, 3] {
        let taker = net.canister_on(place, TAKER);
        assert_eq!(pay(&mut net, payer, taker, 400), 600);
        assert_eq!(pay(&mut net, payer, taker, 13), 1_000);
        net.check_cycles();
    }
}

#[test]
fn a_call_to_another_subnet_has_at_most_two_mib() {
    use SubnetKind::Application;
    let mut net = net(&[Application, Application]);
    let sender = net.canister_on(1, SENDER);
    let (here, there) = (net.canister_on(1, TAKER), net.canister_on(2, TAKER));
    // The method's name counts.
    let most = limits::CALL_BYTES_MAX_ACROSS - 4;
    let mut send = |callee: Principal, bytes: usize| {
        let arg = [callee.as_slice(), &n(bytes as u32)].concat();
        String::from_utf8(net.call(sender, "send", arg).unwrap()).unwrap()
    };
    assert_eq!(send(there, most), "");
    assert_eq!(
        send(there, most + 1),
        format!(
            "Canister {sender} violated contract: attempted to send a message of size 2097153 exceeding the limit \
             2097152"
        )
    );
    assert_eq!(send(here, most + 1), "");
    net.check_cycles();
}

#[test]
fn a_message_is_known_to_the_subnet_of_its_canister() {
    use SubnetKind::Application;
    let mut net = net(&[Application, Application]);
    let id = net.canister_on(2, WHERE);
    let subnets = net.network.topology().clone();
    let elsewhere = subnets.subnets()[1].id;
    let request = net
        .submit_at(elsewhere, user(), id, "nodes", Vec::new())
        .unwrap();
    net.wait(&request).unwrap();
    let record = net.network.status(&request).unwrap();
    assert_eq!(record.subnet, subnets.subnets()[2].id);
    let made = net.submit_at(
        elsewhere,
        user(),
        Principal::management_canister(),
        "provisional_create_canister_with_cycles",
        candid::encode_one(ic::ProvisionalCreateCanisterWithCyclesArgs::default()).unwrap(),
    );
    let record = net.network.status(&made.unwrap()).unwrap();
    assert_eq!(record.subnet, elsewhere);

    let mut certification = Certification::new(subnets.clone(), net.network.time());
    certification.refresh(&net.network);
    for subnet in subnets.subnets() {
        let tree = certification.tree(&subnet.id).unwrap();
        let shown = tree.lookup(&[b"request_status".as_slice(), &request.0]);
        assert_eq!(shown.is_some(), subnet.id == subnets.subnets()[2].id);
    }
}

#[test]
fn composite_queries_see_their_own_subnet_only() {
    const ASKER: &str = r#"
        (table 2 funcref)
        (elem (i32.const 0) $ok $no)
        (data (i32.const 600) "subnet")
        (func $ok (param i32) (call $reply32 (i32.const 0)))
        (func $no (param i32) (call $reply32 (call $msg_reject_code)))
        (func (export "canister_composite_query ask")
          (drop (call $arg))
          (call $call_new (i32.const 1000) (i32.const 10) (i32.const 600) (i32.const 6)
            (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
          (drop (call $call_perform)))"#;
    use SubnetKind::Application;
    let mut net = net(&[Application, Application]);
    let asker = net.canister_on(1, ASKER);
    let (here, there) = (net.canister_on(1, WHERE), net.canister_on(2, WHERE));
    assert_eq!(net.query(asker, "ask", here.as_slice()), Ok(n(0)));
    assert_eq!(
        net.query(asker, "ask", there.as_slice()),
        Ok(n(3)),
        "no such canister"
    );
}

#[test]
fn the_nns_subnet_takes_longer_messages_from_users() {
    use SubnetKind::{Application, Nns};
    let mut net = net(&[Nns, Application]);
    for (place, most) in [
        (0, limits::INGRESS_BYTES_MAX_NNS),
        (1, limits::INGRESS_BYTES_MAX),
    ] {
        let id = net.canister_on(place, WHERE);
        assert_eq!(net.call(id, "nodes", vec![0; most]), Ok(n([40, 13][place])));
        let reject = net.call(id, "nodes", vec![0; most + 1]).unwrap_err();
        assert_eq!(reject.error, Some(ErrorCode::CanisterRejectedMessage));
    }
}

#[test]
fn fees_follow_the_subnet() {
    use SubnetKind::{Application, Fiduciary, System};
    let free = SubnetPlan {
        cost: CostSchedule::Free,
        ..SubnetPlan::of(Application)
    };
    let mut net = Net::with(config_with(&[
        SubnetPlan::of(Application),
        SubnetPlan::of(Fiduciary),
        SubnetPlan::of(System),
        free,
    ]));
    let mut costs = Vec::new();
    for place in 1..=4 {
        let id = net.canister_on(place, WHERE);
        let before = net.network.balance(&id).unwrap();
        net.call(id, "nodes", "").unwrap();
        costs.push(before - net.network.balance(&id).unwrap());
    }
    let [usual, large, system, free] = costs[..] else {
        panic!("{costs:?}")
    };
    // Each fee is rounded down: for the message, each of its bytes, and executing it.
    assert!((usual * 34 / 13 - large) < 10, "{usual} {large}");
    assert_eq!((system, free), (0, 0));
    net.check_cycles();
}

#[test]
fn subnets_that_measure_set_aside_what_their_longest_message_costs() {
    let plan = SubnetPlan {
        instructions: InstructionLimits::Benchmarking,
        ..SubnetPlan::of(SubnetKind::Application)
    };
    let mut net = Net::with(config_with(&[plan]));
    let id = net.create();
    let reject = net
        .install_code(
            id,
            ic::CanisterInstallMode::Install,
            crate::harness::wasm(WHERE),
            b"",
        )
        .unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterOutOfCycles));
    let rich = net.create_with(1_000_000_000_000_000);
    net.install_code(
        rich,
        ic::CanisterInstallMode::Install,
        crate::harness::wasm(WHERE),
        b"",
    )
    .unwrap();
    assert_eq!(net.call(rich, "nodes", ""), Ok(n(13)));
}

#[test]
fn messages_and_spent_cycles_are_counted_per_subnet() {
    use SubnetKind::{Application, System};
    let mut net = net(&[Application, Application, System]);
    let ids: Vec<_> = (1..=3).map(|place| net.canister_on(place, WHERE)).collect();
    net.call(ids[0], "nodes", "").unwrap();
    let metrics = net.network.metrics();
    assert_eq!(
        metrics[0],
        Default::default(),
        "nothing happens on the root"
    );
    let counts: Vec<_> = metrics
        .iter()
        .map(|metrics| (metrics.canisters, metrics.transactions))
        .collect();
    // Creating, installing, and one call.
    assert_eq!(counts, [(0, 0), (1, 3), (1, 2), (1, 2)]);
    assert!(metrics[1].spent > metrics[2].spent && metrics[2].spent > 0);
    assert_eq!(metrics[3].spent, 0);
    let spent: u128 = metrics.iter().map(|metrics| metrics.spent).sum();
    assert_eq!(spent, net.network.cycles().spent);
    assert!(metrics[1].state_bytes > 65_536);
}
