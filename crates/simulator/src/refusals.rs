//! Which refusals a worker may get: everything else is a mistake of the market or of an honest worker.

use assay_protocol::{lease::WorkerError, registry::WorkerStatus};
use candid::Principal;

use crate::{
    kind::Kind,
    message::{Call, Reply},
    watch::Watch,
};

/// Objects to a refusal that cannot be explained, and to a missing one.
pub(crate) fn check_refusal(
    watch: &Watch,
    caller: Principal,
    call: &Call,
    reply: &Reply,
) -> Result<(), String> {
    let error = match reply {
        Reply::Offered(Err(error))
        | Reply::Announced(Err(error))
        | Reply::Hint(Err(error))
        | Reply::Orders(Err(error))
        | Reply::Beats(Err(error))
        | Reply::Transcript(_, Err(error))
        | Reply::Step(_, Err(error)) => error,
        _ if matches!(call, Call::Meddle(_)) => {
            return Err(format!("{caller} ended somebody else's lease"));
        }
        _ => return Ok(()),
    };
    let kind = watch.people.get(&caller).map(|person| person.kind);
    let fits = match error {
        WorkerError::UnknownWorker(_) => !watch.known.contains_key(&caller),
        WorkerError::NotActive(_) => watch
            .known
            .get(&caller)
            .is_some_and(|status| *status != WorkerStatus::Active),
        WorkerError::ForeignLease(_) => matches!(call, Call::Meddle(_)),
        WorkerError::TooLate { .. } | WorkerError::WrongState { .. } => true,
        WorkerError::NotRevealing { .. } => matches!(call, Call::Reveal(_)),
        WorkerError::TranscriptNotFinal(_) => matches!(call, Call::Transcript(_) | Call::Commit(_)),
        // A lost journal, or somebody else's opening.
        WorkerError::WrongOpening { .. } => {
            matches!(kind, Some(Kind::Copier | Kind::CrashLooper))
        }
        // Repeated and overtaken pieces leave gaps; copied openings are those of other roles.
        WorkerError::Invalid { .. } => {
            matches!(call, Call::Progress(_)) || kind == Some(Kind::Copier)
        }
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "{call:?} of {caller} ({kind:?}) was refused: {error:?}"
        ))
    }
}
