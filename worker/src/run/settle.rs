//! From a durable record to the end of its lease: commit, wait, reveal.
//!
//! Every step may be repeated: a commitment or an opening that was delivered while its answer was lost is recognised
//! by the state that the canister names.

use std::{fmt, time::Duration};

use assay_protocol::{
    lease::{LeaseState, WorkerError},
    limits::{LEASE_SECONDS, REVEAL_SECONDS},
};
use tokio::time::sleep;
use tracing::{debug, error, warn};

use super::{
    Shared,
    lease::{End, Ticket, give_back},
};
use crate::{backoff::Backoff, cheat::Cheat, client::Outcome, journal::Record};

/// Looks without a word of a lease after which the canister itself is asked.
const SILENT_HINTS: u64 = 3;

/// Time without a hint after which the canister itself is asked, well within the time to reveal.
const UNHINTED: Duration = Duration::from_secs(REVEAL_SECONDS / 6);

/// How a committed lease ended.
#[derive(Debug)]
pub(crate) enum Settled {
    /// The commitment is open.
    Revealed,
    /// The canister refused a step for good.
    Refused(WorkerError),
    /// The canister ended the lease.
    Ended(String),
}

impl Settled {
    pub(crate) fn end(&self) -> End {
        match self {
            Self::Revealed => End::Revealed,
            Self::Refused(_) | Self::Ended(_) => End::Other,
        }
    }
}

impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revealed => f.write_str("revealed"),
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::Ended(why) => write!(f, "ended: {why}"),
        }
    }
}

/// Commits and reveals a record, and forgets it when nothing more can come of it.
pub(crate) async fn settle(shared: &Shared, ticket: &Ticket, record: &Record) -> Settled {
    ticket.saved();
    let settled = match send_commitment(shared, ticket, record).await {
        Some(ended) => ended,
        None => {
            ticket.committed();
            // A slot is free and the reveal may be due.
            shared.wake().notify_one();
            open(shared, ticket, record).await
        }
    };
    if let Settled::Refused(
        error @ (WorkerError::WrongOpening { .. } | WorkerError::Invalid { .. }),
    ) = &settled
    {
        error!(job = %record.job, lease = %record.reveal.lease, %error, "BUG: the canister does not accept this worker's result");
    }
    if let Settled::Refused(error) = &settled
        && !ticket.is_over()
    {
        // Where the lease still waits for another commitment there will be none.
        give_back(shared, record.reveal.lease, &error.to_string()).await;
    }
    if let Err(error) = shared
        .worker
        .journal
        .remove(record.canister, record.reveal.lease)
    {
        warn!(%error, "a record of an ended lease stays in the state folder");
    }
    settled
}

/// Sends the commitment until the canister has it; tells if that ended the lease.
async fn send_commitment(shared: &Shared, ticket: &Ticket, record: &Record) -> Option<Settled> {
    let mut backoff = Backoff::network();
    loop {
        let answer = tokio::select! {
            answer = shared.jobs.commit(&record.commit) => answer,
            why = ticket.over() => return Some(Settled::Ended(why)),
        };
        match answer {
            Ok(()) => return None,
            // Delivered before, and the answer was lost.
            Err(Outcome::Refused(WorkerError::WrongState {
                state: LeaseState::Committed,
                ..
            })) => return None,
            Err(Outcome::Refused(WorkerError::WrongState {
                state: LeaseState::Revealed,
                ..
            })) => return Some(Settled::Revealed),
            Err(Outcome::Refused(refusal)) => return Some(Settled::Refused(refusal)),
            Err(Outcome::Call(error)) => {
                warn!(job = %record.job, lease = %record.reveal.lease, %error, "the commitment did not get through, trying again");
                pause(ticket, backoff.pause()).await;
            }
        }
    }
}

/// Waits until the commitment may be opened, and opens it.
async fn open(shared: &Shared, ticket: &Ticket, record: &Record) -> Settled {
    let lease = record.reveal.lease;
    if shared.worker.cheat == Some(Cheat::NoReveal) {
        Cheat::NoReveal.shout("never opening this commitment");
        return Settled::Ended(ticket.over().await);
    }
    let mut hints = shared.hints();
    let mut backoff = Backoff::network();
    let mut from = hints.borrow().number;
    loop {
        // Asks when the hint says so, or when the hint has not mentioned the lease for a while.
        let due = tokio::select! {
            due = hints.wait_for(|hints| match hints.leases.get(&lease) {
                Some(hint) => hint.reveal_open || hint.state != LeaseState::Committed,
                None => hints.number > from + SILENT_HINTS,
            }) => due.is_ok(),
            // Hints may have stopped because another call hangs; asking too early does no harm.
            () = sleep(UNHINTED) => true,
            why = ticket.over() => return Settled::Ended(why),
        };
        if !due {
            return Settled::Ended("the daemon stops".to_owned());
        }
        match shared.jobs.reveal(&record.reveal).await {
            Ok(())
            | Err(Outcome::Refused(WorkerError::WrongState {
                state: LeaseState::Revealed,
                ..
            })) => return Settled::Revealed,
            Err(Outcome::Refused(WorkerError::NotRevealing { .. })) => {
                debug!(%lease, "too early to reveal");
                from = hints.borrow().number;
                pause(ticket, shared.worker.poll).await;
            }
            Err(Outcome::Refused(refusal)) => return Settled::Refused(refusal),
            Err(Outcome::Call(error)) => {
                warn!(job = %record.job, %lease, %error, "the reveal did not get through, trying again");
                pause(ticket, backoff.pause()).await;
            }
        }
    }
}

/// Lets the lease run out before its commitment is sent.
pub(crate) async fn dawdle(ticket: &Ticket) {
    Cheat::LateCommit.shout("holding this commitment back until the lease has run out");
    ticket.mute();
    sleep(Duration::from_secs(LEASE_SECONDS + 2)).await;
}

async fn pause(ticket: &Ticket, how_long: Duration) {
    tokio::select! {
        () = sleep(how_long) => {}
        _ = ticket.over() => {}
    }
}
