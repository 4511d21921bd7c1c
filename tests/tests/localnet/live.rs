//! Live networks: the clock is the world's, rounds run by themselves, and `ic-agent` verifies everything.

use std::time::{Duration, SystemTime};

use assay_tests::block_on;
use candid::{Principal, decode_one, encode_one};
use ic_agent::{Agent, identity::BasicIdentity};
use pocket_ic::PocketIc;
use serde_bytes::ByteBuf;

use crate::harness::{anybody, networks, probe, query, read, tell};

fn live_network() -> PocketIc {
    networks()
        .with_nns_subnet()
        .with_application_subnet()
        .build()
}

fn wall_nanos() -> u64 {
    let time = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    u64::try_from(time.as_nanos()).unwrap()
}

/// A client that trusts the network's root key and nothing else.
async fn agent(url: &str) -> Agent {
    let agent = Agent::builder()
        .with_url(url)
        .with_identity(BasicIdentity::from_raw_key(&[7; 32]))
        .build()
        .unwrap();
    agent.fetch_root_key().await.unwrap();
    agent
}

#[test]
fn a_live_network_follows_the_wall_clock_until_it_is_stopped() {
    let network = live_network();
    assert!(!network.auto_progress_enabled());
    network.auto_progress();
    assert!(network.auto_progress_enabled());
    let drift = |time: u64| wall_nanos().abs_diff(time);
    assert!(drift(network.get_time().as_nanos_since_unix_epoch()) < 5_000_000_000);
    network.stop_progress();
    assert!(!network.auto_progress_enabled());
    let stopped = network.get_time();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(network.get_time(), stopped);
}

#[test]
fn a_network_can_be_live_from_the_beginning() {
    let network = networks()
        .with_application_subnet()
        .with_auto_progress()
        .build();
    assert!(network.auto_progress_enabled());
    let id = probe(&network);
    assert_eq!(read(&network, id), 0);
}

#[test]
fn an_agent_verifies_calls_and_queries() {
    let mut network = live_network();
    let id = probe(&network);
    let url = network.make_live(None);
    let root = network.root_key().unwrap();
    block_on(async {
        let agent = agent(url.as_str()).await;
        assert_eq!(agent.read_root_key(), root);
        let reply = agent
            .update(&id, "add")
            .with_arg(encode_one(5u64).unwrap())
            .call_and_wait()
            .await
            .unwrap();
        assert_eq!(decode_one::<u64>(&reply).unwrap(), 5);
        let reply = agent
            .query(&id, "read")
            .with_arg(candid::encode_args(()).unwrap())
            .call()
            .await
            .unwrap();
        assert_eq!(decode_one::<u64>(&reply).unwrap(), 5);
        let reply = agent
            .query(&id, "caller")
            .with_arg(candid::encode_args(()).unwrap())
            .call()
            .await
            .unwrap();
        assert_eq!(
            decode_one::<Principal>(&reply).unwrap(),
            agent.get_principal().unwrap()
        );
        let trapped = agent
            .update(&id, "trap_after_adding")
            .with_arg(candid::encode_args((1u64, "why")).unwrap())
            .call_and_wait()
            .await;
        assert!(trapped.unwrap_err().to_string().contains("why"));

        let controllers = agent.read_state_canister_controllers(id).await.unwrap();
        assert_eq!(controllers, [anybody()]);
        assert!(
            agent
                .read_state_canister_info(id, "module_hash")
                .await
                .is_ok()
        );
    });
    assert_eq!(read(&network, id), 5);
    network.stop_live();
    assert!(!network.auto_progress_enabled());
}

#[test]
fn certified_data_is_certified_by_the_networks_key() {
    let mut network = live_network();
    let id = probe(&network);
    tell(&network, id, "certify", (ByteBuf::from(*b"certified"),)).unwrap();
    let url = network.make_live(None);
    let certificate: Option<ByteBuf> = query(&network, id, "certificate", ()).unwrap();
    let bytes = certificate.expect("queries see a certificate");
    block_on(async {
        let agent = agent(url.as_str()).await;
        let certificate: ic_certification::Certificate = serde_cbor::from_slice(&bytes).unwrap();
        agent.verify(&certificate, id).unwrap();
        let path = [
            "canister".into(),
            ic_certification::Label::from_bytes(id.as_slice()),
            "certified_data".into(),
        ];
        match certificate.tree.lookup_path(&path) {
            ic_certification::LookupResult::Found(data) => assert_eq!(data, b"certified"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn timers_run_by_themselves() {
    let network = live_network();
    let id = probe(&network);
    network.auto_progress();
    tell(&network, id, "run_later", (0u64,)).unwrap();
    for _ in 0..200 {
        if query::<u64>(&network, id, "runs", ()).unwrap() == 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("the timer has not run in five seconds");
}

#[test]
fn a_call_is_answered_without_ticks() {
    let network = live_network();
    let id = probe(&network);
    network.auto_progress();
    let call = network
        .submit_call(id, anybody(), "add", encode_one(1u64).unwrap())
        .unwrap();
    let reply = network.await_call_no_ticks(call).unwrap();
    assert_eq!(decode_one::<u64>(&reply).unwrap(), 1);
}

#[test]
fn a_network_that_stands_still_serves_its_interface_by_its_own_clock() {
    let network = live_network();
    let subnet = network.topology().get_app_subnets()[0];
    // The client signs nothing and lets the request expire four minutes after the instance's time, which is in 2021.
    assert!(network.get_subnet_metrics(subnet).is_some());
    network.advance_time(Duration::from_secs(100_000));
    assert!(network.get_subnet_metrics(subnet).is_some());
}
