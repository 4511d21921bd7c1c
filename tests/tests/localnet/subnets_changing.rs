//! Subnets that come and go while clients use the network.

use std::panic::{AssertUnwindSafe, catch_unwind};

use candid::{Principal, decode_one, encode_one};
use ic_agent::Agent;
use pocket_ic::{PocketIc, common::rest::SubnetKind};

use crate::harness::{network, networks, number, probe_on, probe_wasm, query, read};

/// An id of the public network that nobody here has.
fn public(last: u8) -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 1, 0x23, 0x45, last, 1, 1])
}

fn kinds(network: &PocketIc) -> Vec<SubnetKind> {
    let configs = network.topology().subnet_configs;
    let mut kinds: Vec<_> = configs.values().map(|config| config.subnet_kind).collect();
    kinds.sort_unstable();
    kinds
}

/// What the server says when the client asks for what cannot be.
fn refusal(work: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).expect_err("it must be refused");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// A client that trusts the network's root key and nothing else.
async fn agent(url: &str) -> Agent {
    let agent = Agent::builder().with_url(url).build().unwrap();
    agent.fetch_root_key().await.unwrap();
    agent
}

/// Calls a canister so that certificate and delegation, signature and node are verified.
fn verified(url: &str, id: Principal, more: u64) -> Result<u64, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let agent = agent(url).await;
            let reply = agent
                .update(&id, "add")
                .with_arg(encode_one(more).unwrap())
                .call_and_wait()
                .await
                .map_err(|error| error.to_string())?;
            let asked = agent
                .query(&id, "read")
                .with_arg(candid::encode_args(()).unwrap())
                .call()
                .await
                .map_err(|error| error.to_string())?;
            assert_eq!(reply, asked);
            Ok(decode_one(&reply).unwrap())
        })
}

#[test]
fn an_id_of_the_public_network_makes_its_subnet() {
    let mut network = networks().with_application_subnet().build();
    assert_eq!(kinds(&network), [SubnetKind::Application]);
    let wanted = public(7);
    let id = network.create_canister_with_id(None, None, wanted).unwrap();
    assert_eq!(id, wanted);
    network.install_canister(id, probe_wasm(), number(0), None);
    assert_eq!(
        kinds(&network),
        [SubnetKind::Application, SubnetKind::Application]
    );
    let subnet = network.get_subnet(id).unwrap();
    let topology = network.topology();
    assert_eq!(topology.get_subnet(id), Some(subnet));
    let beside = network
        .create_canister_with_id(None, None, public(8))
        .unwrap();
    assert_eq!(network.get_subnet(beside), Some(subnet));
    let given = network.create_canister_on_subnet(None, None, subnet);
    assert_eq!(network.get_subnet(given), Some(subnet));
    let elsewhere = network.create_canister();
    assert_ne!(network.get_subnet(elsewhere), Some(subnet));

    let ledger = Principal::from_text("um5iw-rqaaa-aaaaq-qaaba-cai").unwrap();
    network.create_canister_with_id(None, None, ledger).unwrap();
    assert_eq!(network.topology().get_ii(), network.get_subnet(ledger));
    let url = network.make_live(None);
    assert_eq!(verified(url.as_str(), id, 5), Ok(5));
}

#[test]
fn ids_that_no_public_subnet_gives_away_are_refused() {
    let network = network();
    for id in [
        Principal::from_text("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap(),
        Principal::from_slice(&[0x7F, 0, 0, 0, 0, 0, 0, 0, 1, 1]),
    ] {
        let refused = network.create_canister_with_id(None, None, id).unwrap_err();
        assert!(refused.contains("is not hosted by subnet"), "{refused}");
    }
    assert_eq!(kinds(&network), [SubnetKind::Application]);
}

#[test]
fn a_deleted_subnet_is_gone_and_the_others_go_on() {
    let mut network = networks()
        .with_nns_subnet()
        .with_application_subnet()
        .with_application_subnet()
        .with_system_subnet()
        .build();
    let [first, second] = network.topology().get_app_subnets()[..] else {
        panic!("two application subnets");
    };
    let system = network.topology().get_system_subnets()[0];
    let stays = probe_on(&network, second);
    let goes = probe_on(&network, first);
    let other = probe_on(&network, system);
    let root = network.root_key();
    let url = network.make_live(None);
    assert_eq!(verified(url.as_str(), goes, 1), Ok(1));
    network.delete_subnet(first);
    assert_eq!(network.topology().get_app_subnets(), [second]);
    assert!(!network.canister_exists(goes));
    assert!(query::<u64>(&network, goes, "read", ()).is_err());
    assert!(verified(url.as_str(), goes, 1).is_err());
    for id in [stays, other] {
        assert_eq!(verified(url.as_str(), id, 3), Ok(3));
        assert_eq!(read(&network, id), 3);
    }
    assert_eq!(network.root_key(), root);
    let created = network.create_canister();
    assert_eq!(network.get_subnet(created), Some(second));
}

#[test]
fn subnets_that_cannot_be_deleted_stay() {
    let network = networks()
        .with_nns_subnet()
        .with_application_subnet()
        .build();
    let topology = network.topology();
    let named = refusal(|| network.delete_subnet(topology.get_nns().unwrap()));
    assert!(named.contains("is the NNS subnet"), "{named}");
    let unknown = refusal(|| network.delete_subnet(Principal::anonymous()));
    assert!(unknown.contains("there is no subnet"), "{unknown}");
    assert_eq!(network.topology(), topology);

    let network = self::network();
    let only = network.topology().get_app_subnets()[0];
    let last = refusal(|| network.delete_subnet(only));
    assert!(last.contains("is the network's last"), "{last}");
}
