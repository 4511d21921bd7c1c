//! Images of networks: what is in them, and images that cannot be used.

use std::collections::BTreeSet;

use assay_localnet_core::{
    image::{BlobId, RestoreError},
    network::{Input, InputError, Network},
    system::{CYCLES_LEDGER, SystemPlan},
    topology::{SubnetKind, SubnetPlan},
};

use crate::harness::{Kept, Net, config, config_with, user};

/// Counts in a global and in stable memory.
const COUNTER: &str = r#"
    (global $count (mut i64) (i64.const 0))
    (func (export "canister_init")
      (drop (call $stable64_grow (i64.const 40)))
      (i32.store (i32.const 50000) (i32.const 7)))
    (func (export "canister_update go")
      (global.set $count (i64.add (global.get $count) (i64.const 1)))
      (i64.store (i32.const 800) (global.get $count))
      (call $stable64_write (i64.const 1000000) (i64.const 800) (i64.const 8))
      (call $stable64_write (i64.const 2000000) (i64.const 800) (i64.const 8))
      (call $msg_reply_data_append (i32.const 800) (i32.const 8))
      (call $msg_reply))
    (func (export "canister_query count")
      (call $stable64_read (i64.const 800) (i64.const 2000000) (i64.const 8))
      (call $msg_reply_data_append (i32.const 800) (i32.const 8))
      (call $msg_reply))
"#;

fn image(network: &Network) -> (Vec<u8>, Kept) {
    let mut blobs = Kept::default();
    let image = network.image(&mut blobs).unwrap();
    (image, blobs)
}

#[test]
fn what_a_canister_holds_is_still_there() {
    let mut net = Net::new();
    let counter = net.canister(COUNTER);
    net.call(counter, "go", "").unwrap();
    net.query(counter, "count", "").unwrap();
    net.be_reborn();
    assert_eq!(
        net.query(counter, "count", ""),
        Ok(1u64.to_le_bytes().into())
    );
    assert_eq!(net.call(counter, "go", ""), Ok(2u64.to_le_bytes().into()));
    net.be_reborn();
    assert_eq!(net.call(counter, "go", ""), Ok(3u64.to_le_bytes().into()));
    let queries = net.status_of(counter).query_stats.num_calls_total;
    assert_eq!(queries, 2u32, "the queries of before count too");
    let other = net.canister(COUNTER);
    assert_ne!(other, counter, "ids are not given twice");
}

#[test]
fn system_canisters_keep_their_accounts() {
    let plan = SubnetPlan::of;
    let subnets = [SubnetKind::Nns, SubnetKind::Ii, SubnetKind::Application].map(plan);
    let mut net = Net::with(assay_localnet_core::network::NetworkConfig {
        system: SystemPlan::seeded(),
        ..config_with(&subnets)
    });
    let empty = candid::encode_args(()).unwrap();
    let before = net.query(CYCLES_LEDGER, "icrc1_total_supply", empty.clone());
    assert!(before.is_ok(), "{before:?}");
    net.be_reborn();
    assert_eq!(
        net.query(CYCLES_LEDGER, "icrc1_total_supply", empty),
        before
    );
}

#[test]
fn equal_pages_are_kept_once() {
    let mut net = Net::new();
    let first = net.canister(COUNTER);
    let one = image(&net.network).1.0.len();
    net.canister(COUNTER);
    assert_eq!(
        image(&net.network).1.0.len(),
        one,
        "the second canister is as the first"
    );
    net.call(first, "go", "").unwrap();
    let (_, blobs) = image(&net.network);
    // One page of its heap and two of its stable memory are its own now.
    assert_eq!(blobs.0.len(), one + 3);
}

#[test]
fn images_that_cannot_be_used_are_refused_by_what_is_wrong() {
    let mut net = Net::new();
    net.canister(COUNTER);
    let (good, blobs) = image(&net.network);
    let restore = |image: &[u8]| {
        let mut blobs = Kept(blobs.0.clone());
        Network::restore(config(), image, &mut blobs).map(|_| ())
    };
    assert!(restore(&good).is_ok());
    assert!(matches!(
        restore(b"something else"),
        Err(RestoreError::NoImage)
    ));
    assert!(matches!(restore(b""), Err(RestoreError::NoImage)));
    let mut newer = good.clone();
    let at = newer.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    newer[at] = 99;
    assert!(matches!(
        restore(&newer),
        Err(RestoreError::Format { found: 99 })
    ));
    for end in [good.len() / 2, good.len() - 1] {
        let short = restore(&good[..end]);
        assert!(
            matches!(short, Err(RestoreError::Damaged { .. })),
            "{short:?}"
        );
    }
    let other = config_with(&[SubnetKind::System, SubnetKind::Application].map(SubnetPlan::of));
    let mut kept = Kept(blobs.0.clone());
    let restored = Network::restore(other, &good, &mut kept).map(|_| ());
    assert!(
        matches!(restored, Err(RestoreError::Topology)),
        "{restored:?}"
    );
}

#[test]
fn a_missing_or_cut_blob_is_an_error() {
    let mut net = Net::new();
    net.canister(COUNTER);
    let (good, blobs) = image(&net.network);
    let names: BTreeSet<BlobId> = blobs.0.keys().copied().collect();
    for name in names {
        let mut missing = Kept(blobs.0.clone());
        missing.0.remove(&name);
        let restored = Network::restore(config(), &good, &mut missing).map(|_| ());
        assert!(
            matches!(restored, Err(RestoreError::Blob(_))),
            "{restored:?}"
        );
        let mut cut = Kept(blobs.0.clone());
        cut.0.get_mut(&name).unwrap().pop();
        let restored = Network::restore(config(), &good, &mut cut).map(|_| ());
        assert!(restored.is_err(), "{name:?} was cut and is used");
    }
}

#[test]
fn inputs_given_again_make_the_same_network() {
    let mut net = Net::new();
    let counter = net.canister(COUNTER);
    let (begun, mut blobs) = image(&net.network);
    let mut inputs = Vec::new();
    for _ in 0..3 {
        net.advance(5);
        inputs.push(Input::Clock(net.network.time()));
        let message = net.message(user(), counter, counter, "go", Vec::new());
        net.network.submit(message.clone()).unwrap();
        inputs.push(Input::Message(message));
        net.network.round();
        inputs.push(Input::Round(net.network.seal()));
        net.query(counter, "count", "").unwrap();
        inputs.extend(net.network.queried());
    }
    net.network.add_cycles(&counter, 5).unwrap();
    inputs.push(Input::Cycles {
        canister: counter,
        amount: 5,
    });
    let bytes = vec![9; 70_000];
    net.network.set_stable_memory(&counter, &bytes).unwrap();
    inputs.push(Input::Stable {
        canister: counter,
        bytes,
    });
    let mut again = Network::restore(config(), &begun, &mut blobs).unwrap();
    for input in &inputs {
        again.apply(input.clone()).unwrap();
    }
    assert_eq!(again.digest(), net.network.digest());

    // Another seal is what another program would give.
    let mut other = Network::restore(config(), &begun, &mut blobs).unwrap();
    let seal = other.seal();
    let diverged = other.apply(Input::Round(seal));
    assert!(
        matches!(diverged, Err(InputError::Diverged { .. })),
        "{diverged:?}"
    );
    let refused = other.apply(Input::OutcallByNode {
        id: 77,
        answers: Vec::new(),
    });
    assert!(
        matches!(refused, Err(InputError::Refused { .. })),
        "{refused:?}"
    );
}
