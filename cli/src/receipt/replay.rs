//! Replay: the answer of a receipt made again on this machine, and compared to the bit.

use std::ops::ControlFlow;

use assay_protocol::{
    Hash32,
    receipt::{CertifiedReceipt, Receipt, SaltedRequest},
    registry::SPEC_CIS_1,
    result::{ResultBody, ResultContext},
};
use assay_worker::model::{Job, LocalModel, RunFault};

/// Why a replay does not confirm a receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is nothing to compare with.
    #[error("replay: job {job} ended without an answer, so there is nothing to run again")]
    NoAnswer {
        /// Which.
        job: u64,
    },
    /// The request is not in the file.
    #[error(
        "replay: the receipt was saved without its request, which only the requester can add: assay receipt export"
    )]
    NoRequest,
    /// Another model.
    #[error("replay: the answer is of the model with root {wanted}, this one has {found}")]
    OtherModel {
        /// The receipt's.
        wanted: Hash32,
        /// The file's.
        found: Hash32,
    },
    /// The run did not end.
    #[error("replay: {0}")]
    Run(#[from] RunFault),
    /// Another answer came out.
    #[error(
        "replay: {what} is {found} here, the receipt says {certified}: the certified answer is not the model's"
    )]
    Differs {
        /// What differs first.
        what: &'static str,
        /// What came out here.
        found: Hash32,
        /// What is certified.
        certified: Hash32,
    },
}

/// Runs what was asked again with a model, and compares answer, trace and root with those of a receipt, whose proof is
/// [`verify`](super::verify)'s business. Every machine and number of threads gives the same.
pub fn replay(
    certified: &CertifiedReceipt,
    model: &LocalModel,
    threads: usize,
) -> Result<ResultBody, ReplayError> {
    let Receipt {
        job,
        model_root,
        result,
        seed,
        ..
    } = &certified.receipt;
    let (Some(result), Some(seed)) = (result, *seed) else {
        return Err(ReplayError::NoAnswer { job: job.0 });
    };
    let Some(SaltedRequest { request, .. }) = &certified.request else {
        return Err(ReplayError::NoRequest);
    };
    if model.root() != *model_root {
        return Err(ReplayError::OtherModel {
            wanted: *model_root,
            found: model.root(),
        });
    }
    let body = model.run(
        &Job {
            task: request.task.clone(),
            parameters: request.parameters.clone(),
            input_tokens_max: Some(request.input_tokens_max()),
            seed,
            threads,
        },
        &mut |_| ControlFlow::Continue(()),
    )?;
    let root = body.root(&ResultContext {
        spec: SPEC_CIS_1,
        model_root,
        parameters: &request.parameters,
        seed,
    });
    let compared = [
        (
            "the answer's hash",
            Hash32::sha256(&body.answer),
            result.answer_sha256,
        ),
        ("the trace root", body.trace_root, result.trace_root),
        ("the result root", root, result.root),
    ];
    for (what, found, certified) in compared {
        if found != certified {
            return Err(ReplayError::Differs {
                what,
                found,
                certified,
            });
        }
    }
    Ok(body)
}
