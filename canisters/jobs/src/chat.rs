//! `chat`: a submit that waits for its answer inside one call.
//!
//! A call cannot sleep, so it asks for randomness, which takes a round, until the job has ended or its time is over. Nothing
//! hangs on it: the job goes on without it, and the same call with the same key waits for the same job again.

use std::cell::Cell;

use assay_protocol::{
    JobId,
    job::{ChatReply, JobView},
    limits,
};
use candid::Principal;
use ic_cdk::call::Call;

use crate::{memory::with_jobs, now};

/// Seconds before the caller's own deadline by which it has an answer.
const MARGIN_SECONDS: u64 = 15;
/// Seconds to wait for one round.
const ROUND_SECONDS: u32 = 30;

thread_local! {
    static VOLATILE_WAITING: Cell<usize> = const { Cell::new(0) };
}

/// Calls that wait now.
pub(crate) fn waiting() -> usize {
    VOLATILE_WAITING.get()
}

/// One call's place among those that wait; free again when it is dropped, also by a trap.
#[derive(Debug)]
#[must_use]
pub(crate) struct Place {
    until: u64,
}

impl Place {
    /// A place, if there is one. To be called before the first await, while the caller's deadline can be read.
    pub(crate) fn new() -> Option<Self> {
        if waiting() >= limits::CHATS_MAX {
            return None;
        }
        VOLATILE_WAITING.set(waiting() + 1);
        let until = now().plus_seconds(limits::CHAT_SECONDS).0;
        let margin = MARGIN_SECONDS * 1_000_000_000;
        let callers =
            ic_cdk::api::msg_deadline().map(|deadline| deadline.get().saturating_sub(margin));
        Some(Self {
            until: callers.map_or(until, |callers| callers.min(until)),
        })
    }

    /// Waits for the end of a job of this requester.
    pub(crate) async fn wait_for(self, requester: Principal, id: JobId) -> ChatReply {
        while !is_over(id) {
            if now().0 >= self.until || round().await.is_none() {
                return ChatReply::Pending { job: id };
            }
        }
        ChatReply::Ended(Box::new(view(requester, id)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        VOLATILE_WAITING.set(waiting() - 1);
    }
}

fn is_over(id: JobId) -> bool {
    with_jobs(|jobs| jobs.has_ended(id))
}

fn view(requester: Principal, id: JobId) -> JobView {
    with_jobs(|jobs| jobs.job(requester, id)).expect("BUG: the job was submitted")
}

/// Lets at least one round pass; nothing if that cannot even be asked for.
async fn round() -> Option<()> {
    let call = Call::bounded_wait(Principal::management_canister(), "raw_rand")
        .change_timeout(ROUND_SECONDS);
    match call.await {
        Ok(_) => Some(()),
        Err(ic_cdk::call::CallFailed::CallRejected(_)) => Some(()),
        Err(_) => None,
    }
}
