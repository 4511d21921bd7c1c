//! Starting and ending.

use std::time::Duration;

use assay_localnet::{Localnet, LocalnetConfig, StartError, seed_from_text};

use crate::{agent, canister::install, start, user};

#[test]
fn a_port_in_use_is_named_with_a_way_out() {
    let network = start();
    let port = network.address().port();
    let error = Localnet::start(LocalnetConfig {
        port,
        ..LocalnetConfig::default()
    })
    .unwrap_err();
    assert!(matches!(error, StartError::PortInUse { port: named, .. } if named == port));
    assert!(
        error
            .to_string()
            .contains(&format!("port {port} on 127.0.0.1 is in use; ")),
        "{error}"
    );
}

#[test]
fn an_address_of_another_machine_is_refused() {
    let bind = "192.0.2.1".parse().unwrap();
    let error = Localnet::start(LocalnetConfig {
        bind,
        ..LocalnetConfig::default()
    })
    .unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
}

#[test]
fn the_same_seed_gives_the_same_keys() {
    let keys = |text: &str| {
        let config = LocalnetConfig {
            seed: seed_from_text(text),
            ..LocalnetConfig::default()
        };
        let network = Localnet::start(config).unwrap();
        (network.root_key(), network.application_subnet_id())
    };
    assert_eq!(keys("a"), keys("a"));
    assert_ne!(keys("a"), keys("b"));
}

#[tokio::test]
async fn a_network_that_is_shut_down_frees_its_port_and_forgets() {
    let network = start();
    let owner = agent(&network, user(1));
    let canister = install(&network, &owner).await;
    let port = network.address().port();
    network.shutdown();
    assert!(owner.query(&canister, "get").call().await.is_err());

    let network = Localnet::start(LocalnetConfig {
        port,
        ..LocalnetConfig::default()
    })
    .unwrap();
    let fresh = agent(&network, user(1));
    assert!(
        fresh
            .update(&canister, "inc")
            .call_and_wait()
            .await
            .is_err(),
        "the canister is gone"
    );
    assert_eq!(
        install(&network, &fresh).await,
        canister,
        "and its id is given again"
    );
}

#[tokio::test]
async fn a_call_that_outlasts_the_wait_is_polled() {
    let config = LocalnetConfig {
        call_wait: Duration::ZERO,
        ..LocalnetConfig::default()
    };
    let network = Localnet::start(config).unwrap();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;
    let reply = agent
        .update(&canister, "inc")
        .call_and_wait()
        .await
        .unwrap();
    assert_eq!(reply, [1, 0, 0, 0]);
}
