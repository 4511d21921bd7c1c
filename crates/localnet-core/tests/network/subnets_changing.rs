//! Subnets that come and go while canisters are at work.

use assay_localnet_core::{
    network::access::OutcallAnswer,
    topology::{SubnetKind, TopologyError, canister_id},
    types::ErrorCode,
};
use candid::{Principal, encode_one};
use ic_management_canister_types as ic;

use crate::{
    cycles::{PAYER, TAKER, pay},
    harness::user,
    management::{FORWARDER, forwarded, record},
    subnets::net,
};

use SubnetKind::{Application, Fiduciary, Ii, Nns, System};

#[test]
fn an_id_of_the_public_network_is_worth_a_subnet() {
    let mut net = net(&[Application]);
    let anywhere = net.network.topology().default_effective_canister();
    let here = net.canister(PAYER);
    for (id, kind) in [
        (canister_id(0x123_4567), Application),
        (canister_id(0x123_4568), Application),
        (canister_id(0x210_0002), Ii),
        (canister_id(0x230_0000), Fiduciary),
    ] {
        assert_eq!(net.create_at(id, Some(id)), Ok(id));
        assert_eq!(net.network.subnet_of(&id).unwrap().kind, kind);
        let reply = net.install_code(
            id,
            ic::CanisterInstallMode::Install,
            crate::harness::wasm(TAKER),
            b"",
        );
        assert_eq!(reply, Ok(()));
        assert_eq!(pay(&mut net, here, id, 400), 600, "they call each other");
    }
    assert_eq!(net.network.topology().subnets().len(), 5);
    assert_eq!(
        net.network
            .metrics()
            .iter()
            .map(|one| one.canisters)
            .collect::<Vec<_>>(),
        [0, 1, 2, 1, 1]
    );
    net.check_cycles();
    for id in [
        canister_id(3),
        canister_id(1 << 32),
        Principal::self_authenticating([1]),
    ] {
        let reject = net.create_at(anywhere, Some(id)).unwrap_err();
        assert_eq!(reject.error, Some(ErrorCode::CanisterNotHostedBySubnet));
    }
    assert_eq!(net.network.topology().subnets().len(), 5);
}

#[test]
fn a_deleted_subnet_takes_its_canisters_along() {
    let mut net = net(&[System, Application, Application]);
    let topology = net.network.topology().clone();
    let subnets = topology.subnets();
    let before = net.canister_on(1, PAYER);
    let gone = net.canister_on(2, TAKER);
    let after = net.canister_on(3, TAKER);
    assert_eq!(pay(&mut net, before, gone, 400), 600);
    net.network.delete_subnet(&subnets[2].id).unwrap();
    net.check_cycles();
    assert!(net.network.canister(&gone).is_none());
    assert!(net.network.subnet_of(&gone).is_none());
    assert_eq!(net.network.metrics().len(), 3);
    assert_eq!(net.network.canister(&after).unwrap().subnet, subnets[3].id);
    assert_eq!(pay(&mut net, before, after, 400), 600);
    assert_eq!(
        pay(&mut net, before, gone, 400),
        1000,
        "what is sent to nobody comes back"
    );
    let added = net.canister_on(2, TAKER);
    assert_eq!(
        net.network.canister(&added).unwrap().subnet,
        subnets[3].id,
        "places have moved up"
    );
    assert_eq!(
        net.network.delete_subnet(&subnets[2].id),
        Err(TopologyError::Unknown { id: subnets[2].id })
    );
    net.check_cycles();
}

#[test]
fn whoever_waits_for_a_deleted_subnet_is_told() {
    let mut net = net(&[Nns, Application, Application]);
    let subnet = net.network.topology().subnets()[2].id;
    let by = net.canister_on(2, FORWARDER);
    let other = net.canister_on(2, TAKER);
    let ask = ic::HttpRequestArgs {
        url: "https://a.b".into(),
        max_response_bytes: Some(1_000),
        ..Default::default()
    };
    let ask = forwarded("http_request", &encode_one(ask).unwrap(), 1_000_000_000_000);
    let asking = net.submit(by, "forward", ask);
    net.rounds(2);
    let stop = encode_one(record(by)).unwrap();
    let stopping = net
        .submit_at(
            by,
            user(),
            Principal::management_canister(),
            "stop_canister",
            stop,
        )
        .unwrap();
    net.rounds(1);
    let late = net.submit(other, "burn", "");
    assert_eq!(net.answer(&asking), None);
    assert_eq!(net.answer(&stopping), None);
    net.network.delete_subnet(&subnet).unwrap();
    net.check_cycles();
    for request in [asking, stopping, late] {
        assert!(net.answer(&request).unwrap().is_err());
    }
    let outcall = net.network.outcalls().next().unwrap().id;
    let answer = OutcallAnswer::Reject {
        code: 2,
        message: "late".into(),
    };
    net.network.answer_outcall(outcall, answer).unwrap();
    net.settle();
    net.check_cycles();
    assert_eq!(net.network.cycles().moving, 0);
}
