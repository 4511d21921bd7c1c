//! Reading the registry's changes, page by page.

use assay_protocol::{
    limits::PAGE_MAX,
    registry::{Changes, ChangesArgs},
};
use candid::CandidType;
use ic_cdk::call::Call;
use serde::{Deserialize, Serialize};

use crate::{
    guard::{Task, TaskGuard},
    memory::{settings, with_jobs, with_jobs_mut},
    meter::Meter,
    now, settle,
};

/// Seconds to wait for a page: a bounded wait, so that the registry cannot keep this canister from being upgraded.
const WAIT_SECONDS: u32 = 30;
/// Pages read in one go; the next turn goes on from there.
const PAGES_MAX: usize = 100;

/// Why the registry was not read.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum SyncError {
    /// None is set.
    #[error("no registry is set; a controller names one by an upgrade")]
    NoRegistry,
    /// It is being read already.
    #[error(
        "the registry is being read already; what changed before this call may come a moment later"
    )]
    Busy,
    /// The call is not signed.
    #[error("anonymous callers cannot make it read the registry; sign the call")]
    Anonymous,
    /// It does not answer.
    #[error("no answer from the registry ({0}); the canister tries again by itself")]
    Unreachable(String),
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}

/// Reads all changes that there are.
pub(crate) async fn run() -> Result<(), SyncError> {
    let registry = settings().registry.ok_or(SyncError::NoRegistry)?;
    let _guard = TaskGuard::new(Task::Sync).ok_or(SyncError::Busy)?;
    for _ in 0..PAGES_MAX {
        let from = with_jobs(|jobs| jobs.cursor());
        let answer = Call::bounded_wait(registry, "changes")
            .with_arg(ChangesArgs {
                from,
                limit: PAGE_MAX,
            })
            .change_timeout(WAIT_SECONDS)
            .await
            .map_err(|error| SyncError::Unreachable(error.to_string()))?;
        let _meter = Meter::new("sync_page");
        let Changes {
            records,
            next,
            more,
        } = answer
            .candid()
            .map_err(|error| SyncError::Unreachable(error.to_string()))?;
        // While waiting, jobs and leases may have changed, which the core reads anew. The cursor
        // has not: only the holder of the guard moves it.
        with_jobs_mut(|jobs| jobs.sync(now(), &records, next));
        settle();
        if !more {
            break;
        }
    }
    Ok(())
}
