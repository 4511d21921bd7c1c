//! Operations that take longer than a client waits: their outcomes, to be read later.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use axum::http::StatusCode;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    answer::{Answer, ApiError, Outcome, settle},
    limits,
    shapes::Started,
};

/// Every operation's state label: instances do not fork, so there is nothing to tell apart.
const STATE_LABEL: &str = "instance";

#[derive(Debug)]
pub(super) struct Operations {
    open: Mutex<Open>,
    wait: Duration,
    operations_max: usize,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    operations: BTreeMap<u64, State>,
}

#[derive(Debug)]
enum State {
    Running(oneshot::Receiver<Answer>),
    Done(Answer),
}

impl State {
    /// The outcome, if there is one by now.
    fn read(&mut self) -> Option<Answer> {
        if let Self::Running(receiver) = self {
            *self = match receiver.try_recv() {
                Ok(answer) => Self::Done(answer),
                Err(oneshot::error::TryRecvError::Empty) => return None,
                Err(oneshot::error::TryRecvError::Closed) => Self::Done(failed().into()),
            };
        }
        match self {
            Self::Done(answer) => Some(answer.clone()),
            Self::Running(_) => None,
        }
    }
}

impl Default for Operations {
    fn default() -> Self {
        Self::with(limits::ANSWER_WAIT, limits::OPERATIONS_MAX)
    }
}

impl Operations {
    pub(super) fn with(wait: Duration, operations_max: usize) -> Self {
        Self {
            open: Mutex::default(),
            wait,
            operations_max,
        }
    }

    /// The outcome of an operation, or after a while where it can be read. It goes on even if nobody waits any more.
    pub(super) async fn run(
        &self,
        operation: impl Future<Output = Outcome> + Send + 'static,
    ) -> Answer {
        let (sender, mut receiver) = oneshot::channel();
        let _running: JoinHandle<()> = tokio::spawn(async move {
            // Whoever asked may have gone.
            let _ = sender.send(settle(operation.await));
        });
        match tokio::time::timeout(self.wait, &mut receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => failed().into(),
            Err(_) => self
                .keep(State::Running(receiver))
                .unwrap_or_else(Answer::from),
        }
    }

    fn keep(&self, mut state: State) -> Outcome {
        let mut open = self
            .open
            .lock()
            .expect("BUG: nothing panics with the operations");
        if open.operations.len() >= self.operations_max {
            // The oldest outcome that nobody came for makes room.
            let done = open
                .operations
                .iter_mut()
                .find_map(|(id, state)| state.read().map(|_| *id));
            let Some(done) = done else {
                return Err(ApiError(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!(
                        "{} operations are running; wait for some to end",
                        self.operations_max
                    ),
                ));
            };
            open.operations.remove(&done);
        }
        if let Some(answer) = state.read() {
            return Ok(answer);
        }
        let id = open.next;
        open.next += 1;
        open.operations.insert(id, state);
        Ok(Answer::with(
            StatusCode::ACCEPTED,
            &Started {
                state_label: STATE_LABEL.to_owned(),
                op_id: id.to_string(),
            },
        ))
    }

    /// The outcome of an operation, if it has ended.
    pub(super) fn read(&self, label: &str, id: &str) -> Answer {
        let mut open = self
            .open
            .lock()
            .expect("BUG: nothing panics with the operations");
        let state = number(label, id).and_then(|id| open.operations.get_mut(&id));
        match state.map(State::read) {
            Some(Some(answer)) => answer,
            Some(None) => ApiError::missing("the operation has not ended yet").into(),
            None => ApiError::missing(format!("there is no operation {label}/{id}")).into(),
        }
    }

    /// Forgets an outcome.
    pub(super) fn prune(&self, label: &str, id: &str) -> Outcome {
        let mut open = self
            .open
            .lock()
            .expect("BUG: nothing panics with the operations");
        number(label, id)
            .and_then(|id| open.operations.remove(&id))
            .map(|_| Answer::null())
            .ok_or_else(|| ApiError::missing(format!("there is no operation {label}/{id}")))
    }
}

fn number(label: &str, id: &str) -> Option<u64> {
    (label == STATE_LABEL).then(|| id.parse().ok())?
}

fn failed() -> ApiError {
    ApiError(
        StatusCode::INTERNAL_SERVER_ERROR,
        "BUG: the operation ended without an outcome; the server's log says more".to_owned(),
    )
}
