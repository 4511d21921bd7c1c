//! One lease from claim to end.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use assay_protocol::{
    LeaseId,
    lease::{Claim, CommitArgs, Opening, Order, RevealArgs, Role, commitment},
    limits::{REASON_BYTES_MAX, RUN_SECONDS_MAX},
    result::Usage,
};
use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};

use super::{Offered, Shared, check, dismiss, generate, nonce, settle};
use crate::{
    cheat::Cheat,
    client::{Outcome, now},
    identity::IdentityError,
    journal::{JournalError, Record},
    model::RunFault,
};

/// What the loop counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Revealed,
    Other,
}

/// A lease that this process works on, as the loop and the heartbeats see it.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) lease: LeaseId,
    phase: AtomicU8,
    over: watch::Sender<Option<String>>,
}

/// Times a run is begun, the first included.
const BEGINNINGS_MAX: u32 = 2;
/// Time that must be left for a run to be begun again.
const TIME_LEFT_LEAST: Duration = Duration::from_secs(RUN_SECONDS_MAX / 4);

const COMPUTING: u8 = 0;
const COMMITTED: u8 = 1;
const MUTE: u8 = 2;

impl Ticket {
    pub(crate) fn new(lease: LeaseId) -> Self {
        Self {
            lease,
            phase: AtomicU8::new(COMPUTING),
            over: watch::Sender::new(None),
        }
    }

    /// Whether it still takes up a slot.
    pub(crate) fn is_computing(&self) -> bool {
        self.phase.load(Ordering::Relaxed) != COMMITTED
    }

    pub(crate) fn wants_heartbeats(&self) -> bool {
        self.phase.load(Ordering::Relaxed) != MUTE && !self.is_over()
    }

    pub(crate) fn committed(&self) {
        self.phase.store(COMMITTED, Ordering::Relaxed);
    }

    /// Its commitment is on disk and on its way: from here on only its end may drop the record.
    pub(crate) fn saved(&self) {
        // A muted one stays mute.
        let _ =
            self.phase
                .compare_exchange(COMPUTING, COMMITTED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Stops heartbeats, for a demonstration of lateness.
    pub(crate) fn mute(&self) {
        self.phase.store(MUTE, Ordering::Relaxed);
    }

    /// Tells its task to stop; the first reason stays.
    pub(crate) fn end(&self, why: &str) {
        self.over.send_if_modified(|over| {
            let first = over.is_none();
            if first {
                *over = Some(why.to_owned());
            }
            first
        });
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.borrow().is_some()
    }

    /// Waits until somebody tells it to stop, and says why.
    pub(crate) async fn over(&self) -> String {
        let mut over = self.over.subscribe();
        // The sender lives in this ticket, so waiting cannot fail.
        let _ = over.wait_for(Option::is_some).await;
        self.over.borrow().clone().unwrap_or_default()
    }
}

/// What a lease's computation gives.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) opening: Opening,
    pub(crate) root: assay_protocol::Hash32,
    pub(crate) claim: Option<Claim>,
    pub(crate) usage: Usage,
}

/// Why a lease ends without a commitment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Over(String),
    #[error("this worker does not have model {0} with the root that the order names")]
    OtherModel(assay_protocol::ModelId),
    #[error(transparent)]
    Run(#[from] RunFault),
    #[error("{0}")]
    Refused(#[from] Outcome<assay_protocol::lease::WorkerError>),
    #[error("the state folder could not be written, so nothing was committed: {0}")]
    Journal(#[from] JournalError),
    #[error("this worker has begun it {0} times without an end")]
    TriedOften(u32),
    #[error("its beginning was shown before a restart, and a server would not go on alike")]
    NotAlike,
    #[error("too little of its time is left")]
    TooLittleTime,
    #[error(transparent)]
    Nonce(#[from] IdentityError),
    #[error("BUG: the computation panicked")]
    Panicked,
}

/// Runs a claimed order to its end.
pub(crate) async fn run(shared: &Shared, ticket: &Ticket, order: Order) -> End {
    let started = Instant::now();
    let (lease, job, role) = (order.lease, order.job, order.role);
    let end = match commit(shared, ticket, &order).await {
        Ok((record, usage)) => {
            let computed = started.elapsed();
            let outcome = settle::settle(shared, ticket, &record).await;
            info!(
                %job,
                %lease,
                ?role,
                input = usage.input_tokens,
                output = usage.output_tokens,
                computed_ms = computed.as_millis() as u64,
                total_ms = started.elapsed().as_millis() as u64,
                %outcome,
                "lease ended"
            );
            outcome.end()
        }
        Err(fault) => {
            let why = fault.to_string();
            warn!(%job, %lease, ?role, total_ms = started.elapsed().as_millis() as u64, %why, "lease ended without a result");
            match fault {
                Fault::Run(fault) if fault.is_of_request() => decline(shared, lease, &why).await,
                _ => give_back(shared, lease, &why).await,
            }
            shared.worker.journal.forget(shared.jobs.id, lease);
            End::Other
        }
    };
    dismiss(shared, lease);
    end
}

/// Sees a lease to its end whose commitment was on disk.
pub(crate) async fn resume(shared: &Shared, ticket: &Ticket, record: Record) -> End {
    ticket.committed();
    let outcome = settle::settle(shared, ticket, &record).await;
    info!(job = %record.job, lease = %record.reveal.lease, role = ?record.role, %outcome, "lease from before the restart ended");
    dismiss(shared, record.reveal.lease);
    outcome.end()
}

/// Computes, and makes nonce and result durable; nothing is sent yet.
async fn commit(shared: &Shared, ticket: &Ticket, order: &Order) -> Result<(Record, Usage), Fault> {
    if ticket.is_over() {
        return Err(Fault::Over(ticket.over().await));
    }
    let offered = shared.model(order).ok_or(Fault::OtherModel(order.model))?;
    begin(shared, order)?;
    let Done {
        opening,
        root,
        claim,
        usage,
    } = compute(shared, ticket, order, offered).await?;
    if shared.worker.cheat == Some(Cheat::LateCommit) {
        settle::dawdle(ticket).await;
    }

    let (canister, worker) = (shared.jobs.id, shared.jobs.network().me());
    let nonce = nonce()?;
    let record = Record {
        canister,
        worker,
        job: order.job,
        role: order.role,
        commit: CommitArgs {
            lease: order.lease,
            commitment: commitment(&canister, order.lease, &worker, &nonce, &root),
            claim,
        },
        reveal: RevealArgs {
            lease: order.lease,
            nonce,
            opening,
        },
    };
    shared.worker.journal.save(&record)?;
    Ok((record, usage))
}

/// Notes that a run begins. One that took the worker down with it is not tried for ever, and one that is left from
/// before a restart is only taken up if it can still end.
fn begin(shared: &Shared, order: &Order) -> Result<(), Fault> {
    let before = shared.worker.journal.begin(shared.jobs.id, order.lease)?;
    if before >= BEGINNINGS_MAX {
        return Err(Fault::TriedOften(before));
    }
    let left = Duration::from_nanos(order.run_deadline.0).saturating_sub(now());
    if before > 0 && left < TIME_LEFT_LEAST {
        return Err(Fault::TooLittleTime);
    }
    Ok(())
}

async fn compute(
    shared: &Shared,
    ticket: &Ticket,
    order: &Order,
    offered: &Offered,
) -> Result<Done, Fault> {
    match order.role {
        Role::Generator | Role::Replica => generate::run(shared, ticket, order, offered).await,
        Role::Checker => check::run(shared, ticket, order, offered).await,
    }
}

/// Tells the canister that this lease will have no result, so that another worker gets it at once.
pub(crate) async fn give_back(shared: &Shared, lease: LeaseId, why: &str) {
    if let Err(error) = shared.jobs.abandon(lease, shortened(why)).await {
        // It may have ended by itself; if not, it expires.
        tracing::debug!(%lease, %error, "the lease could not be given back");
    }
}

/// Tells the canister that no worker with this model could do what the lease asks for.
async fn decline(shared: &Shared, lease: LeaseId, why: &str) {
    if let Err(error) = shared.jobs.decline(lease, shortened(why)).await {
        tracing::debug!(%lease, %error, "the lease could not be declined");
    }
}

/// As much of a reason as the canister takes.
fn shortened(why: &str) -> &str {
    let mut end = why.len().min(REASON_BYTES_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    &why[..end]
}
