//! From a question to a verdict that is proven.
//!
//! What is shown on the way (quote, stream, job) comes from queries and is a hint; what is told at the end is what the
//! certified receipt says, and the answer is shown as verified only if its hash is the certified one.

use std::time::{Duration, Instant};

use assay_protocol::{
    Cycles, Hash32, JobId,
    job::{JobError, JobView, Quote, StreamArgs, SubmitArgs, Submitted},
    limits::{CHECK_GRACE_SECONDS, REVEAL_SECONDS},
    receipt::CertifiedReceipt,
    request::{Assurance, JobRequest, ModelRef, Parameters, Sampling, Task},
};
use assay_worker::{
    backoff::Backoff,
    client::{Jobs, Outcome},
    identity,
};
use tokio::time::sleep;

use crate::{
    Failure,
    args::Question,
    receipt::{self, Proof},
};

/// Pause between two looks at a job.
const LOOK: Duration = Duration::from_millis(200);
/// How long the receipt of an ended job may take.
const RECEIPT_SECONDS: u64 = 20;
/// How long after its deadline a job may take to end.
const DEADLINE_GRACE_SECONDS: u64 = CHECK_GRACE_SECONDS + REVEAL_SECONDS + 30;

/// A request whose answer is drawn as a question says.
pub(crate) fn request(
    model: ModelRef,
    task: Task,
    question: &Question,
    assurance: Assurance,
) -> JobRequest {
    JobRequest {
        model,
        task,
        parameters: Parameters::new(question.max_tokens, sampling(question)),
        seed: Some(question.seed),
        assurance,
    }
}

/// How a question's tokens are drawn.
pub(crate) fn sampling(question: &Question) -> Sampling {
    let Question {
        temperature_milli,
        top_p_ppm,
        top_k,
        max_tokens: _,
        seed: _,
    } = *question;
    Sampling {
        temperature_milli,
        top_p_ppm,
        top_k,
        ..Sampling::GREEDY
    }
}

/// Asks the price.
pub(crate) async fn quote(jobs: &Jobs, request: &JobRequest) -> Result<Quote, Failure> {
    Ok(jobs.quote(request).await?)
}

/// Submits a request. The key makes a repeated call, after a lost answer, give the same job.
pub(crate) async fn submit(
    jobs: &Jobs,
    request: JobRequest,
    price_cap: Cycles,
    deadline_seconds: u32,
) -> Result<Submitted, Failure> {
    let args = SubmitArgs {
        request,
        price_cap,
        deadline_seconds,
        idempotency_key: identity::random_bytes()?[..16].to_vec(),
    };
    let mut backoff = Backoff::network();
    loop {
        match jobs.submit(&args).await {
            Ok(submitted) => return Ok(submitted),
            Err(error) if error.is_passing() && backoff.failures() < 3 => {
                sleep(backoff.pause()).await
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a listener hears while a job runs.
pub(crate) enum Heard<'a> {
    /// Provisional text.
    Text(&'a str),
    /// What was heard so far does not count: that generation was given up, and another begins.
    StartOver,
}

/// Follows a job to its end.
pub(crate) async fn follow(
    jobs: &Jobs,
    job: JobId,
    deadline_seconds: u32,
    mut hear: impl FnMut(Heard<'_>),
) -> Result<JobView, Failure> {
    let started = Instant::now();
    let patience = u64::from(deadline_seconds) + DEADLINE_GRACE_SECONDS;
    let mut args = StreamArgs {
        job,
        round: 0,
        cursor: 0,
    };
    let mut backoff = Backoff::network();
    loop {
        let chunk = match jobs.stream(args).await {
            Ok(chunk) => chunk,
            // A network that hiccups is waited for, as long as the job itself may last.
            Err(error) if error.is_passing() && backoff.failures() < 8 => {
                sleep(backoff.pause()).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        backoff.reset();
        if chunk.round != args.round {
            if args.round > 0 && args.cursor > 0 {
                hear(Heard::StartOver);
            }
            args = StreamArgs {
                round: chunk.round,
                cursor: 0,
                ..args
            };
        }
        if !chunk.text.is_empty() {
            hear(Heard::Text(&chunk.text));
        }
        args.cursor = chunk.cursor.max(args.cursor);
        if chunk.state.is_terminal() {
            return Ok(jobs.job(job).await?);
        }
        if started.elapsed() > Duration::from_secs(patience) {
            return Err(Failure::NotEnded {
                job: job.0,
                seconds: patience,
            });
        }
        // What was only a part comes at once.
        if chunk.text.is_empty() {
            sleep(LOOK).await;
        }
    }
}

/// Fetches the receipt of a job that has ended.
pub(crate) async fn receipt(jobs: &Jobs, job: JobId) -> Result<CertifiedReceipt, Failure> {
    let started = Instant::now();
    loop {
        match jobs.receipt(job).await {
            Ok(receipt) => return Ok(receipt),
            Err(Outcome::Refused(JobError::NoReceiptYet(_)))
                if started.elapsed() < Duration::from_secs(RECEIPT_SECONDS) =>
            {
                sleep(LOOK).await
            }
            Err(error)
                if error.is_passing()
                    && started.elapsed() < Duration::from_secs(RECEIPT_SECONDS) =>
            {
                sleep(LOOK).await
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Proves a receipt, and that the job as it was shown is the one that the receipt certifies.
pub(crate) fn prove(
    certified: &CertifiedReceipt,
    view: &JobView,
    request: &JobRequest,
    jobs: &Jobs,
    root_key: &[u8],
) -> Result<Proof, Failure> {
    let proof = receipt::verify(certified, root_key)?;
    let receipt = &certified.receipt;
    let differs = |what| Err(Failure::Contradicted { what });
    if receipt.canister != jobs.id || receipt.job != view.id {
        return differs("the job");
    }
    if certified
        .request
        .as_ref()
        .is_some_and(|salted| salted.request != *request)
    {
        return differs("the question");
    }
    if receipt.state != view.state || receipt.verdict != view.verdict {
        return differs("the verdict");
    }
    if receipt.result.map(|result| result.root) != view.result_root {
        return differs("the result root");
    }
    let answer = view
        .answer
        .as_ref()
        .map(|answer| Hash32::sha256(answer.bytes()));
    if answer.is_some() && answer != receipt.result.map(|result| result.answer_sha256) {
        return differs("the answer");
    }
    if receipt.refund != view.refund || receipt.fee.checked_add(receipt.royalty) != Some(view.fee) {
        return differs("the refund or the fee");
    }
    Ok(proof)
}
