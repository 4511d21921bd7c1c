//! The same calls give the same state, on every subnet.

use assay_localnet_core::{cert::Certification, topology::SubnetKind};
use ic_management_canister_types as ic;
use proptest::prelude::*;

use crate::{
    cycles::{PAYER, TAKER},
    harness::{n, user},
    subnets::net,
};

/// One thing that happens in a random history.
#[derive(Clone, Debug)]
enum Step {
    /// A canister pays another.
    Pay {
        payer: usize,
        taker: usize,
        taken: u32,
    },
    /// Time passes.
    Wait { seconds: u64 },
    /// Somebody creates a canister on a subnet.
    Create { subnet: usize },
    /// Rounds in between.
    Rounds { count: usize },
    /// A canister is stopped and started.
    Restart { taker: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3usize, 0..3usize, 0..1_500u32)
            .prop_map(|(payer, taker, taken)| Step::Pay { payer, taker, taken }),
        1 => (1..40u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => (0..4usize).prop_map(|subnet| Step::Create { subnet }),
        2 => (1..3usize).prop_map(|count| Step::Rounds { count }),
        1 => (0..3usize).prop_map(|taker| Step::Restart { taker }),
    ];
    prop::collection::vec(step, 1..25)
}

/// What is certified on each subnet after each step. Looking only at the end must change nothing.
fn play(steps: &[Step], look_often: bool) -> (Vec<[u8; 32]>, [u8; 32]) {
    use SubnetKind::{Application, Nns, Sns};
    let mut net = net(&[Nns, Application, Sns, Application]);
    let topology = net.network.topology().clone();
    let mut certification = Certification::new(topology.clone(), net.network.time());
    let payers: Vec<_> = (1..4).map(|place| net.canister_on(place, PAYER)).collect();
    let takers: Vec<_> = (1..4).map(|place| net.canister_on(place, TAKER)).collect();
    for step in steps {
        match *step {
            Step::Pay {
                payer,
                taker,
                taken,
            } => {
                let arg = [takers[taker].as_slice(), &n(taken)].concat();
                // A stopped callee refuses, which is part of the history.
                let _ = net.submit_as(user(), payers[payer], "pay", arg);
            }
            Step::Wait { seconds } => net.advance(seconds),
            Step::Create { subnet } => {
                let at = topology.subnets()[subnet].id;
                net.create_at(at, None).unwrap();
            }
            Step::Rounds { count } => net.rounds(count),
            Step::Restart { taker } => {
                let arg = ic::CanisterIdRecord {
                    canister_id: takers[taker],
                };
                net.manage("stop_canister", &arg).unwrap();
                net.manage("start_canister", &arg).unwrap();
            }
        }
        net.check_cycles();
        if look_often {
            certification.refresh(&net.network);
        }
    }
    net.settle();
    certification.refresh(&net.network);
    certification.set_time(net.network.time());
    let hashes = topology
        .subnets()
        .iter()
        .map(|subnet| certification.root_hash(&subnet.id).unwrap())
        .collect();
    (hashes, net.network.digest())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_calls_give_the_same_state_root_of_every_subnet(steps in steps()) {
        let first = play(&steps, true);
        prop_assert_eq!(&first, &play(&steps, false));
        prop_assert_eq!(first.0.len(), 4);
    }
}

#[test]
fn other_calls_give_another_state_root() {
    let pay = |taken| Step::Pay {
        payer: 0,
        taker: 1,
        taken,
    };
    let (one, other) = (play(&[pay(1)], true).0, play(&[pay(2)], true).0);
    assert_ne!(one[1], other[1], "the payer's subnet");
}
