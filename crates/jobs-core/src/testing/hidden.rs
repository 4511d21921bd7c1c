//! What an open job must not show.

use assay_protocol::{
    job::{JobError, JobState, JobView, Reason, StreamArgs},
    request::Assurance,
};
use candid::Principal;

use super::{Market, stranger};

/// Checks that an open job shows no answer, no root of its round, and its text only to `from`, who asked for it.
pub fn check_hidden(
    market: &mut impl Market,
    view: &JobView,
    from: Principal,
    assurance: Assurance,
) -> Result<(), String> {
    ensure(view.answer.is_none() && view.result_root.is_none(), || {
        format!("job {} answers early", view.id)
    })?;
    let round = view
        .leases
        .iter()
        .map(|lease| lease.round)
        .max()
        .unwrap_or(0);
    for lease in &view.leases {
        let past = lease.round < round
            || view.state == JobState::Queued
            || matches!(lease.reason, Some(Reason::Malformed(_)));
        ensure(lease.root.is_none() || past, || {
            format!("lease {} shows its root early", lease.id)
        })?;
    }
    let stream = StreamArgs {
        job: view.id,
        round: 0,
        cursor: 0,
    };
    let text = market
        .stream(from, &stream)
        .map_err(|error| format!("stream: {error:?}"))?;
    let quiet = assurance.replicas().is_some();
    ensure(!quiet || text.text.is_empty(), || {
        format!("job {} streams what is to be compared", view.id)
    })?;
    let foreign = market.stream(stranger(), &stream);
    ensure(foreign == Err(JobError::NotYours(view.id)), || {
        format!("a stranger reads job {}", view.id)
    })
}

/// That something holds, or what does not.
pub fn ensure(condition: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what()) }
}
