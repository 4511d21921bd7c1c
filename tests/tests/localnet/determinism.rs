//! The same calls on two instances have the same results, to the byte.

use pocket_ic::PocketIc;
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};

use crate::harness::{networks, probe_on, tell, update};

/// A life, and everything that can be seen of it.
fn live(network: &PocketIc) -> Vec<u8> {
    let subnets = network.topology().get_app_subnets();
    let mut seen = Sha256::new();
    let mut note = |text: String| {
        seen.update(text.len().to_le_bytes());
        seen.update(text);
    };
    let one = probe_on(network, subnets[0]);
    let two = probe_on(network, subnets[1]);
    note(format!("{:?}", network.topology()));
    for step in 0..20u64 {
        let sum: Result<u64, String> = update(network, one, "add_there", (two, step)).unwrap();
        note(format!("{sum:?}"));
        note(format!(
            "{:?}",
            update::<ByteBuf>(network, two, "random", ())
        ));
        note(format!(
            "{:?}",
            tell(network, one, "trap_after_adding", (step, "why"))
        ));
        tell(network, one, "run_often", (step + 1,)).unwrap();
        network.advance_time(std::time::Duration::from_secs(step));
        network.tick();
        note(format!("{:?}", network.get_time()));
        note(format!(
            "{} {}",
            network.cycle_balance(one),
            network.cycle_balance(two)
        ));
    }
    note(format!("{:?}", network.get_stable_memory(two)));
    note(format!("{:?}", network.canister_status(two, None)));
    seen.finalize().to_vec()
}

#[test]
fn two_instances_live_the_same_life() {
    let network = || {
        networks()
            .with_nns_subnet()
            .with_application_subnet()
            .with_application_subnet()
            .build()
    };
    let (one, two) = (network(), network());
    // The second lives while the first does, and later.
    let lives = std::thread::scope(|scope| {
        let first = scope.spawn(|| live(&one));
        std::thread::sleep(std::time::Duration::from_millis(50));
        let second = scope.spawn(|| live(&two));
        [first.join().unwrap(), second.join().unwrap()]
    });
    assert_eq!(lives[0], lives[1]);
    assert_eq!(one.root_key(), two.root_key());
}
