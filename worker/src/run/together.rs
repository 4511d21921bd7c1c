//! The answers that this worker generates with one model, all of them together on a thread of their own.
//!
//! Every pass over the weights serves each answer in progress, and what answers have in common is computed once. An answer in company is the
//! answer that it would be alone, to the byte. Dropping the future of an answer ends it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use assay_engine::{
    forward::batch::{self, SEQUENCES_MAX, SHARED_PAGES_MAX, SequenceId},
    run::{Event, Group},
    tokenizer::Detokenizer,
};
use assay_protocol::{limits::SLOTS_MAX, result::ResultBody};
use tokio::sync::oneshot;

use super::lease::Fault;
use crate::model::{Job, Prepared, RunFault, TextModel, Token};

/// Bytes of keys and values that are kept for answers to come.
const SHARED_BYTES_MAX: usize = 256 << 20;

// Every slot may hold an answer.
const _: () = assert!(SLOTS_MAX as usize <= SEQUENCES_MAX);

/// Hears of each token.
pub(crate) type TokenSink = Box<dyn FnMut(Token) + Send>;

/// Takes answers to generate.
#[derive(Debug)]
pub(crate) struct Together {
    model: Arc<TextModel>,
    threads: usize,
    thread: Mutex<mpsc::Sender<Asked>>,
}

/// An answer to generate.
struct Asked {
    prepared: Prepared,
    logprobs: Option<u8>,
    on_token: TokenSink,
    done: oneshot::Sender<Result<ResultBody, RunFault>>,
}

/// An answer in progress.
struct Member<'m> {
    asked: Asked,
    detokenizer: Detokenizer<'m>,
}

impl Together {
    /// Starts the thread. Passes take `threads` of them; the results are the same for every number.
    pub(crate) fn new(model: Arc<TextModel>, threads: usize) -> Self {
        let thread = Mutex::new(start(model.clone(), threads));
        Self {
            model,
            threads,
            thread,
        }
    }

    /// The model that generates them.
    pub(crate) fn model(&self) -> &Arc<TextModel> {
        &self.model
    }

    /// Generates an answer.
    pub(crate) async fn generate(
        &self,
        job: Job,
        on_token: TokenSink,
    ) -> Result<ResultBody, Fault> {
        let model = self.model.clone();
        let logprobs = job.parameters.logprobs;
        let prepared = tokio::task::spawn_blocking(move || model.prepare(&job));
        let prepared = prepared.await.map_err(|_| Fault::Panicked)??;
        let (done, end) = oneshot::channel();
        self.submit(Asked {
            prepared,
            logprobs,
            on_token,
            done,
        });
        Ok(end.await.map_err(|_| Fault::Panicked)??)
    }

    /// Hands an answer over; to a new thread where the last one panicked.
    fn submit(&self, asked: Asked) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(mpsc::SendError(asked)) = thread.send(asked) {
            *thread = start(self.model.clone(), self.threads);
            // A thread that dies at once drops it, and who waits hears of that.
            let _ = thread.send(asked);
        }
    }
}

fn start(model: Arc<TextModel>, threads: usize) -> mpsc::Sender<Asked> {
    let (sender, receiver) = mpsc::channel();
    // It ends when the sender is dropped.
    thread::spawn(move || serve(&model, threads, &receiver));
    sender
}

/// Generates what is asked for until nobody can ask any more.
fn serve(model: &TextModel, threads: usize, asked: &mpsc::Receiver<Asked>) {
    let pages = (SHARED_BYTES_MAX / batch::page_bytes(model.model())).min(SHARED_PAGES_MAX);
    let options = Job::options_for(threads);
    let mut group = match Group::new(model.model(), &options, pages) {
        Ok(group) => group,
        Err(error) => {
            for asked in asked {
                let _ = asked.done.send(Err(error.clone().into()));
            }
            return;
        }
    };
    let mut members = BTreeMap::new();
    loop {
        if group.is_empty() {
            match asked.recv() {
                Ok(asked) => join(model, &mut group, &mut members, asked),
                Err(mpsc::RecvError) => return,
            }
        }
        loop {
            match asked.try_recv() {
                Ok(asked) => join(model, &mut group, &mut members, asked),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
        members.retain(|id, member| {
            let wanted = !member.asked.done.is_closed();
            if !wanted {
                group.leave(*id);
            }
            wanted
        });
        if !group.is_empty() {
            step(model, &mut group, &mut members);
        }
    }
}

fn join<'m>(
    model: &'m TextModel,
    group: &mut Group<'m>,
    members: &mut BTreeMap<SequenceId, Member<'m>>,
    asked: Asked,
) {
    match group.join(&asked.prepared.request(model.tokenizer())) {
        Ok(id) => {
            let detokenizer = model.detokenizer(&asked.prepared);
            members.insert(id, Member { asked, detokenizer });
        }
        // Nobody waiting is fine.
        Err(error) => drop(asked.done.send(Err(error.into()))),
    }
}

fn step<'m>(
    model: &'m TextModel,
    group: &mut Group<'m>,
    members: &mut BTreeMap<SequenceId, Member<'m>>,
) {
    let events = match group.step() {
        Ok(events) => events,
        Err(error) => {
            // What the engine refuses to all of them it would refuse again.
            while let Some((id, member)) = members.pop_first() {
                group.leave(id);
                let _ = member.asked.done.send(Err(error.clone().into()));
            }
            return;
        }
    };
    for (id, event) in events {
        let result = match event {
            Event::Token { token, .. } => {
                if let Some(member) = members.get_mut(&id) {
                    let text = member.detokenizer.push(token).into();
                    (member.asked.on_token)(Token { id: token, text });
                }
                continue;
            }
            Event::Done(transcript) => Ok(*transcript),
            Event::Failed(error) => Err(error),
        };
        if let Some(Member { asked, .. }) = members.remove(&id) {
            let result = result
                .map(|transcript| model.body(asked.prepared.input, asked.logprobs, transcript));
            let _ = asked.done.send(result.map_err(RunFault::from));
        }
    }
}

#[cfg(test)]
mod tests;
