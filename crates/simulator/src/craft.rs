//! What a worker commits to and opens, by its conduct.

use assay_jobs_core::testing::{Lie, body_root};
use assay_protocol::{
    Hash32, Hasher,
    lease::{Claim, CommitArgs, Opening, Order, RevealArgs, Role, commitment},
    request::Task,
    result::ResultBody,
};
use candid::Principal;

use crate::{
    kind::Conduct,
    schedule::Millis,
    truth::{Ring, Truths},
    worker::{Held, Scene},
};

/// A text that no model can answer.
pub(crate) const IMPOSSIBLE: &str = "what cannot be answered";
/// How long a copier waits for something to copy.
const COPIER_WAITS: Millis = 20_000;

/// Whether an honest worker finds that an order cannot be done.
pub(crate) fn is_impossible(order: &Order) -> bool {
    match &order.task {
        Task::Completion { prompt } => prompt == IMPOSSIBLE,
        _ => false,
    }
}

/// The result that a worker shows.
pub(crate) fn body(held: &Held, ring: Option<Ring>, scene: &Scene<'_>) -> ResultBody {
    let order = &held.order;
    match (held.conduct, ring) {
        (Conduct::Lies(lie), _) => lie.body(order),
        (Conduct::Colludes, Some(ring)) => scene.truths.lie(ring, order),
        _ => scene.truths.body(order).clone(),
    }
}

/// A commitment and its opening; nothing while there is nothing to commit to.
pub(crate) fn commit(
    held: &Held,
    operator: Principal,
    ring: Option<Ring>,
    lives: u64,
    scene: &Scene<'_>,
) -> Option<(CommitArgs, RevealArgs)> {
    let order = &held.order;
    let opening = match (order.role, &held.transcript) {
        (Role::Checker, Some(claim)) => check(held, ring, claim, scene.truths),
        (Role::Checker, None) => return None,
        _ => Opening::Result(body(held, ring, scene)),
    };
    let claim = match &opening {
        Opening::Result(body) if order.role == Role::Generator => {
            let shown = match held.conduct {
                Conduct::TwoFaced => Lie::Tokens.body(order),
                _ => body.clone(),
            };
            Some(Claim {
                output: shown.output_tokens,
                finish: shown.finish,
            })
        }
        _ => None,
    };
    let root = match &opening {
        Opening::Result(body) => body_root(order, body),
        Opening::Agrees { root } => *root,
        Opening::Mismatch(mismatch) => mismatch.root(order.job, order.round),
    };
    // Another life, another nonce: what was committed before a crash must come from the disk.
    let nonce = Hasher::new("simulator-nonce")
        .u64(order.lease.0)
        .u64(lives)
        .finish();
    let mut hash = commitment(&scene.canister, order.lease, &operator, &nonce, &root);
    if held.conduct == Conduct::Copies {
        let seen = scene.leaks.commitments.get(&order.job);
        let seen = seen.filter(|(lease, _)| *lease != order.lease);
        hash = match seen {
            Some((_, hash)) => *hash,
            None if held.waits(scene.now, COPIER_WAITS) => return None,
            None => Hash32([9; 32]),
        };
    }
    let commit = CommitArgs {
        lease: order.lease,
        commitment: hash,
        claim,
    };
    let reveal = RevealArgs {
        lease: order.lease,
        nonce,
        opening,
    };
    Some((commit, reveal))
}

fn check(held: &Held, ring: Option<Ring>, claim: &Claim, truths: &Truths) -> Opening {
    match (held.conduct, ring) {
        (Conduct::Lies(lie), _) => lie.opening(&held.order),
        (Conduct::Colludes, Some(ring)) => truths.conspire(ring, &held.order, claim),
        _ => truths.check(&held.order, claim),
    }
}
