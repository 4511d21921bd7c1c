//! Checking somebody else's generation, while it streams in.
//!
//! The provisional tokens are a hint that saves time; the verdict rests on the final tokens, which come certified. If
//! the two differ, the check starts over with the final ones.

use std::{sync::mpsc, time::Duration};

use assay_protocol::{
    LeaseId,
    lease::{Claim, Mismatch, Opening, Order, WorkerError},
    result::{Finish, Usage},
};
use tokio::{task::JoinHandle, time::sleep};
use tracing::debug;

use super::{
    Hints, Offered, Shared,
    lease::{Done, Fault, Ticket},
};
use crate::{
    backoff::Backoff,
    cheat::Cheat,
    client::Outcome,
    model::{Checked, Job, RunFault},
};

/// How long it is until another look at what is followed: generators tell once a second, and every look costs something.
const FOLLOW_PAUSE: Duration = Duration::from_millis(700);

/// Checks what the order points at.
pub(crate) async fn run(
    shared: &Shared,
    ticket: &Ticket,
    order: &Order,
    offered: &Offered,
) -> Result<Done, Fault> {
    tokio::select! {
        done = check(shared, order, offered) => done,
        why = ticket.over() => Err(Fault::Over(why)),
    }
}

async fn check(shared: &Shared, order: &Order, offered: &Offered) -> Result<Done, Fault> {
    let mut run = Run::start(order, offered, shared.worker.threads);
    let mut followed = Vec::new();
    let mut hints = shared.hints();
    let is_final = |hints: &Hints| {
        let hint = hints.leases.get(&order.lease);
        hint.is_some_and(|hint| hint.transcript_final)
    };
    // Provisional tokens, until the final ones are in.
    while !is_final(&hints.borrow_and_update()) {
        match shared
            .jobs
            .follow(
                order.lease,
                u32::try_from(followed.len()).unwrap_or(u32::MAX),
            )
            .await
        {
            Ok(follow) => {
                followed.extend_from_slice(&follow.tokens);
                run.feed(follow.tokens);
                if follow.complete {
                    break;
                }
            }
            Err(error) => debug!(lease = %order.lease, %error, "cannot follow the generation now"),
        }
        tokio::select! {
            () = sleep(shared.worker.poll.max(FOLLOW_PAUSE)) => {}
            Ok(_) = hints.wait_for(is_final) => {}
        }
    }
    let Claim { output, finish } = transcript(shared, order.lease).await?;
    match output.strip_prefix(followed.as_slice()) {
        Some(rest) => run.feed(rest.to_vec()),
        None => {
            debug!(lease = %order.lease, "the final tokens are not those that were streamed");
            run = Run::start(order, offered, shared.worker.threads);
            run.feed(output.clone());
        }
    }
    let input_and_checked = run.end(finish).await?;
    Ok(judge(shared, order, offered, input_and_checked))
}

fn judge(shared: &Shared, order: &Order, offered: &Offered, checked: Checked) -> Done {
    let usage = |output_tokens: usize| Usage {
        input_tokens: u32::try_from(checked.input_tokens()).unwrap_or(u32::MAX),
        output_tokens: u32::try_from(output_tokens).unwrap_or(u32::MAX),
    };
    if shared.worker.cheat == Some(Cheat::WrongCheck) {
        Cheat::WrongCheck.shout("reporting a mismatch that was not found");
        let lie = Mismatch {
            position: 0,
            trace_root: order.model_root,
        };
        return mismatch(order, lie, usage(0));
    }
    match &checked {
        Checked::Match(body) => {
            let root = offered.model().result_root(body, order);
            Done {
                opening: Opening::Agrees { root },
                root,
                claim: None,
                usage: usage(body.output_tokens.len()),
            }
        }
        Checked::Mismatch {
            mismatch: found, ..
        } => mismatch(order, *found, usage(found.position as usize)),
    }
}

fn mismatch(order: &Order, mismatch: Mismatch, usage: Usage) -> Done {
    Done {
        root: mismatch.root(order.job, order.round),
        opening: Opening::Mismatch(mismatch),
        claim: None,
        usage,
    }
}

/// Asks for the final tokens until the canister gives them.
async fn transcript(shared: &Shared, lease: LeaseId) -> Result<Claim, Fault> {
    let mut backoff = Backoff::network();
    loop {
        match shared.jobs.transcript(lease).await {
            Ok(claim) => return Ok(claim),
            // The hint was ahead of the truth, or wrong.
            Err(Outcome::Refused(WorkerError::TranscriptNotFinal(_))) => {
                sleep(shared.worker.poll).await
            }
            Err(Outcome::Refused(refusal)) => {
                return Err(Fault::Refused(Outcome::Refused(refusal)));
            }
            Err(Outcome::Call(error)) => {
                debug!(%lease, %error, "the transcript did not come through, trying again");
                sleep(backoff.pause()).await;
            }
        }
    }
}

/// A check on a thread of its own. Dropped, it ends by itself.
struct Run {
    feed: mpsc::Sender<Feed>,
    result: JoinHandle<Result<Checked, RunFault>>,
}

enum Feed {
    Tokens(Vec<u32>),
    End(Finish),
}

impl Run {
    fn start(order: &Order, offered: &Offered, threads: usize) -> Self {
        let (feed, fed) = mpsc::channel();
        let job = Job::from_order(order, threads);
        let model = offered.model();
        let result = tokio::task::spawn_blocking(move || {
            let mut check = model.check(&job)?;
            loop {
                match fed.recv() {
                    Ok(Feed::Tokens(tokens)) => check.push(&tokens)?,
                    Ok(Feed::End(finish)) => return check.finish(finish),
                    Err(_) => return Err(RunFault::Cancelled),
                }
            }
        });
        Self { feed, result }
    }

    /// A thread that has failed listens no more; its result says why.
    fn feed(&self, tokens: Vec<u32>) {
        let _ = self.feed.send(Feed::Tokens(tokens));
    }

    async fn end(self, finish: Finish) -> Result<Checked, Fault> {
        let _ = self.feed.send(Feed::End(finish));
        Ok(self.result.await.map_err(|_| Fault::Panicked)??)
    }
}
