//! Generating an answer, and publishing its tokens on the way.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use assay_protocol::{
    LeaseId,
    lease::{Beat, Claim, Opening, Order, ProgressArgs, Role},
    limits::{PROGRESS_TEXT_BYTES_MAX, PROGRESS_TOKENS_MAX},
    result::ResultBody,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tracing::debug;

use super::{
    Engine, Offered, Shared,
    lease::{Done, Fault, Ticket},
    together::TokenSink,
};
use crate::{
    cheat::Cheat,
    client::{Jobs, Outcome},
    model::{Job, RunFault, TextModel, Token, VectorModel},
    openai::ServerModel,
};

/// Shortest pause between two messages with tokens.
const PROGRESS_PERIOD: Duration = Duration::from_secs(1);

/// Generates what the order asks for.
pub(crate) async fn run(
    shared: &Shared,
    ticket: &Ticket,
    order: &Order,
    offered: &Offered,
) -> Result<Done, Fault> {
    let job = Job::from_order(order, shared.worker.threads);
    let (sender, receiver) = mpsc::unbounded_channel();
    // Replicas stay silent: what one publishes, another could copy.
    if order.role == Role::Generator {
        tokio::spawn(publish(
            shared.jobs.clone(),
            order.lease,
            order.streamed,
            receiver,
        ));
    }
    // Nobody listening is fine: the tokens are provisional.
    let on_token = Box::new(move |token: Token| drop(sender.send(token)));
    let swaps = shared.worker.cheat == Some(Cheat::WrongTokens);
    if swaps {
        Cheat::WrongTokens.shout("swapping one token of this answer");
    }
    let body = async {
        match &offered.engine {
            Engine::Texts(together) if swaps => {
                swapped(together.model().clone(), job, on_token).await
            }
            Engine::Texts(together) => together.generate(job, on_token).await,
            Engine::Vectors(model) => embed(model.clone(), job, swaps).await,
            Engine::Server(_) if order.streamed > 0 => Err(Fault::NotAlike),
            Engine::Server(model) => served(model, &job, on_token, swaps).await,
        }
    };
    let body = tokio::select! {
        body = body => body?,
        // What is dropped here stops computing.
        why = ticket.over() => return Err(Fault::Over(why)),
    };
    let claim = (order.role == Role::Generator).then(|| Claim {
        output: body.output_tokens.clone(),
        finish: body.finish,
    });
    Ok(Done {
        root: offered.model().result_root(&body, order),
        usage: body.usage(),
        claim,
        opening: Opening::Result(body),
    })
}

/// Makes the vector of a text, or deliberately that of another.
async fn embed(model: Arc<VectorModel>, job: Job, swaps: bool) -> Result<ResultBody, Fault> {
    let computation = move || -> Result<ResultBody, RunFault> {
        match swaps {
            true => model.embed_swapped(&job),
            false => model.embed(&job),
        }
    };
    // It is over soon: a text for an encoder is short.
    let computed = tokio::task::spawn_blocking(computation).await;
    Ok(computed.map_err(|_| Fault::Panicked)??)
}

/// Lets a server answer, and deliberately changes what it said if that is wanted.
async fn served(
    model: &ServerModel,
    job: &Job,
    mut on_token: TokenSink,
    swaps: bool,
) -> Result<ResultBody, Fault> {
    let mut body = model.generate(job, &mut on_token).await?;
    if swaps {
        body.answer.push(b'.');
    }
    Ok(body)
}

/// Generates a deliberately wrong answer.
async fn swapped(
    model: Arc<TextModel>,
    job: Job,
    mut on_token: TokenSink,
) -> Result<ResultBody, Fault> {
    // Dropped with the future, so that the computation stops.
    let (_wanted, wanted) = watch::channel(());
    let computation = tokio::task::spawn_blocking(move || {
        model.generate_swapped(&job, &mut |token| {
            on_token(token);
            match wanted.has_changed() {
                Ok(_) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })
    });
    Ok(computation.await.map_err(|_| Fault::Panicked)??)
}

/// Sends tokens as they come: the first at once, the rest at most once a second. What is refused is not sent again;
/// the final tokens travel with the commitment in any case. The first `sent` tokens were shown before a restart.
async fn publish(
    jobs: Jobs,
    lease: LeaseId,
    mut sent: u32,
    mut tokens: mpsc::UnboundedReceiver<Token>,
) {
    for _ in 0..sent {
        // The same tokens as then: the run repeats to the bit.
        if tokens.recv().await.is_none() {
            return;
        }
    }
    let mut next = Instant::now();
    let mut waiting = Vec::new();
    loop {
        if waiting.is_empty() {
            match tokens.recv().await {
                Some(token) => waiting.push(token),
                None => return,
            }
        }
        let closed = loop {
            tokio::select! {
                token = tokens.recv() => match token {
                    Some(token) => waiting.push(token),
                    None => break true,
                },
                () = sleep_until(next) => break false,
            }
        };
        next = Instant::now() + PROGRESS_PERIOD;
        let mut answered = true;
        while !waiting.is_empty() && answered {
            let args = batch(lease, sent, &mut waiting);
            sent += u32::try_from(args.tokens.len()).unwrap_or(u32::MAX);
            answered = send(&jobs, &args).await;
        }
        if closed || !answered {
            return;
        }
    }
}

/// The longest message that keeps the limits.
fn batch(lease: LeaseId, from: u32, waiting: &mut Vec<Token>) -> ProgressArgs {
    let mut bytes = 0;
    let count = waiting
        .iter()
        .take(PROGRESS_TOKENS_MAX)
        .take_while(|token| {
            bytes += token.text.len();
            bytes <= PROGRESS_TEXT_BYTES_MAX
        })
        .count()
        // One token's text is far below the limit; this only rules out going round in circles.
        .max(1);
    let (tokens, texts): (Vec<u32>, Vec<Arc<str>>) = waiting
        .drain(..count)
        .map(|token| (token.id, token.text))
        .unzip();
    ProgressArgs {
        lease,
        from,
        tokens,
        text: texts.concat(),
    }
}

/// Whether the canister has this message, and more may follow.
async fn send(jobs: &Jobs, args: &ProgressArgs) -> bool {
    // A message that got through while its answer was lost may be repeated.
    for _ in 0..3 {
        match jobs.progress(args).await {
            Ok(Beat::Continue(_)) => return true,
            // The heartbeats hear the same and end the lease.
            Ok(Beat::Stop(_)) => return false,
            Err(Outcome::Refused(error)) => {
                debug!(lease = %args.lease, %error, "provisional tokens were refused");
                return false;
            }
            Err(Outcome::Call(error)) => {
                debug!(lease = %args.lease, %error, "provisional tokens did not get through");
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(count: usize, text: &str) -> Vec<Token> {
        (0..count)
            .map(|id| Token {
                id: id as u32,
                text: text.into(),
            })
            .collect()
    }

    #[test]
    fn batches_keep_the_token_limit_and_lose_nothing() {
        let mut waiting = tokens(PROGRESS_TOKENS_MAX + 1, "a");
        let first = batch(LeaseId(1), 0, &mut waiting);
        assert_eq!(first.tokens.len(), PROGRESS_TOKENS_MAX);
        let second = batch(LeaseId(1), PROGRESS_TOKENS_MAX as u32, &mut waiting);
        assert_eq!(
            (second.tokens, second.text.as_str()),
            (vec![PROGRESS_TOKENS_MAX as u32], "a")
        );
        assert!(waiting.is_empty());
    }

    #[test]
    fn batches_keep_the_text_limit() {
        let text = "x".repeat(PROGRESS_TEXT_BYTES_MAX / 2);
        let mut waiting = tokens(3, &text);
        assert_eq!(
            batch(LeaseId(1), 0, &mut waiting).text.len(),
            PROGRESS_TEXT_BYTES_MAX
        );
        assert_eq!(waiting.len(), 1);
    }
}
