//! What whoever runs the network reads and changes.

use assay_localnet_core::{network::access::AccessError, topology::canister_id};

use super::{forwarder, snapshots::counts};
use crate::harness::{Net, user};

#[test]
fn controllers_balance_and_stable_memory_are_at_hand() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    assert_eq!(net.network.controllers(&id), Ok(&[user()][..]));
    let balance = net.network.balance(&id).unwrap();
    assert_eq!(net.network.add_cycles(&id, 5), Ok(balance + 5));
    net.check_cycles();
    assert_eq!(
        net.network.add_cycles(&id, u128::MAX),
        Err(AccessError::Cycles {
            id,
            amount: u128::MAX
        })
    );
    net.check_cycles();

    assert_eq!(net.network.stable_memory(&id), Ok(vec![]));
    net.call(id, "bump", "").unwrap();
    let stable = net.network.stable_memory(&id).unwrap();
    assert_eq!(stable.len(), 65_536);
    assert_eq!(stable[100..108], 8u64.to_le_bytes());
    let mut new = vec![0; 65_537];
    new[100] = 42;
    net.network.set_stable_memory(&id, &new).unwrap();
    assert_eq!(counts(&mut net, id), [8, 8, 42]);
    let stable = net.network.stable_memory(&id).unwrap();
    assert_eq!(stable.len(), 2 * 65_536, "whole pages");
    assert_eq!(stable[..65_537], new);
    net.network.set_stable_memory(&id, &[]).unwrap();
    assert_eq!(net.network.stable_memory(&id), Ok(vec![]));
}

#[test]
fn canisters_that_are_missing_or_empty_are_named() {
    let mut net = Net::new();
    let id = canister_id(0xffff_ffff_ffe0_0099);
    let missing = AccessError::NotFound { id };
    assert_eq!(missing.to_string(), format!("Canister {id} not found"));
    assert_eq!(net.network.controllers(&id), Err(missing.clone()));
    assert_eq!(net.network.add_cycles(&id, 1), Err(missing.clone()));
    assert_eq!(net.network.stable_memory(&id), Err(missing.clone()));
    assert_eq!(net.network.set_stable_memory(&id, b""), Err(missing));
    let id = net.create();
    let empty = AccessError::Empty { id };
    assert_eq!(net.network.stable_memory(&id), Err(empty.clone()));
    assert_eq!(net.network.set_stable_memory(&id, b""), Err(empty));
}
