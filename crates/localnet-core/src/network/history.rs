//! Ingress messages and what became of them.
//!
//! An answer is kept for a while, and the fact that there was one for as long as the message could be sent again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

use candid::Principal;
use serde::{Deserialize, Serialize};

use super::Network;
use crate::{
    limits,
    types::{ErrorCode, Ingress, IngressStatus, Reject, RequestId, Time},
};

/// An ingress message as the state tree shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Who sent it.
    pub sender: Principal,
    /// To whom.
    pub canister: Principal,
    /// The canister, or subnet, to which it was addressed.
    pub effective: Principal,
    /// The subnet that took it in.
    pub subnet: Principal,
    /// What became of it.
    pub status: IngressStatus,
    expiry: Time,
    finished: bool,
}

/// All ingress messages that are remembered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct History {
    records: BTreeMap<RequestId, RequestRecord>,
    /// Messages that are not answered yet.
    open: usize,
    /// Messages whose answer is kept, and since when; oldest first.
    answered: VecDeque<(Time, RequestId)>,
    /// Bytes in kept replies.
    answer_bytes: usize,
    /// Messages whose answer is gone, by expiry.
    done: BTreeSet<(Time, RequestId)>,
    /// Not kept; who begins anew has to look at all messages.
    #[serde(skip, default = "Changes::lost")]
    changes: Changes,
}

/// Which messages have changed lately, so that whoever shows them need not look at all.
#[derive(Clone, Default)]
struct Changes {
    /// Changes before those in `latest`.
    dropped: u64,
    latest: VecDeque<RequestId>,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // How far back it goes changes nothing that anybody can notice.
        f.write_str("Changes")
    }
}

impl Changes {
    /// Changes of which nothing is known but that there were some.
    fn lost() -> Self {
        Self {
            dropped: 1,
            latest: VecDeque::new(),
        }
    }

    fn note(&mut self, id: RequestId) {
        if self.latest.len() >= limits::REQUEST_CHANGES_MAX {
            self.latest.pop_front();
            self.dropped += 1;
        }
        self.latest.push_back(id);
    }
}

impl History {
    pub(crate) fn get(&self, id: &RequestId) -> Option<&RequestRecord> {
        self.records.get(id)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&RequestId, &RequestRecord)> {
        self.records.iter()
    }

    /// How many changes there were so far, for [`Self::changed_since`].
    pub(crate) fn change_count(&self) -> u64 {
        self.changes.dropped + self.changes.latest.len() as u64
    }

    /// The messages that changed after so many changes; `None` where that is too long ago.
    pub(crate) fn changed_since(&self, count: u64) -> Option<BTreeSet<RequestId>> {
        let skipped = usize::try_from(count.checked_sub(self.changes.dropped)?).ok()?;
        Some(self.changes.latest.iter().skip(skipped).copied().collect())
    }

    /// Whether another message fits.
    pub(crate) fn check_room(&self) -> Result<(), Reject> {
        let full = |what: &str| {
            Err(Reject::of(
                ErrorCode::IngressHistoryFull,
                format!("{what} already; try again later"),
            ))
        };
        if self.open >= limits::INGRESS_OPEN_MAX {
            full(&format!(
                "{} messages wait for an answer",
                limits::INGRESS_OPEN_MAX
            ))
        } else if self.records.len() >= limits::INGRESS_KNOWN_MAX {
            full(&format!(
                "{} messages are remembered",
                limits::INGRESS_KNOWN_MAX
            ))
        } else {
            Ok(())
        }
    }

    /// Remembers a new message.
    pub(crate) fn receive(&mut self, message: &Ingress, subnet: Principal) {
        self.records.insert(
            message.id,
            RequestRecord {
                sender: message.sender,
                canister: message.canister,
                effective: message.effective_canister,
                subnet,
                status: IngressStatus::Received,
                expiry: message.expiry,
                finished: false,
            },
        );
        self.open += 1;
        self.changes.note(message.id);
    }

    /// Writes an answer down; the first one counts.
    pub(crate) fn finish(&mut self, id: &RequestId, status: IngressStatus, now: Time) {
        let Some(record) = self.records.get_mut(id).filter(|record| !record.finished) else {
            return;
        };
        self.answer_bytes += reply_bytes(&status);
        record.status = status;
        record.finished = true;
        self.open -= 1;
        self.changes.note(*id);
        self.answered.push_back((now, *id));
        while self.answer_bytes > limits::INGRESS_ANSWER_BYTES_MAX {
            self.drop_oldest_answer();
        }
    }

    /// Drops answers that were kept long enough, and messages that can never come again.
    pub(crate) fn forget(&mut self, now: Time) {
        let kept = limits::INGRESS_KEPT_SECONDS * 1_000_000_000;
        while self
            .answered
            .front()
            .is_some_and(|(time, _)| time.plus_nanos(kept) <= now)
        {
            self.drop_oldest_answer();
        }
        while let Some((expiry, id)) = self.done.first().copied() {
            if expiry >= now {
                break;
            }
            self.done.pop_first();
            self.records.remove(&id);
            self.changes.note(id);
        }
    }

    fn drop_oldest_answer(&mut self) {
        let Some((_, id)) = self.answered.pop_front() else {
            return;
        };
        let Some(record) = self.records.get_mut(&id) else {
            return;
        };
        self.answer_bytes -= reply_bytes(&record.status);
        record.status = IngressStatus::Done;
        self.changes.note(id);
        self.done.insert((record.expiry, id));
    }
}

fn reply_bytes(status: &IngressStatus) -> usize {
    match status {
        IngressStatus::Replied(reply) => reply.len(),
        _ => 0,
    }
}

impl Network {
    /// Marks an ingress message as begun; false where it came too late, which is then its answer.
    pub(crate) fn begin_ingress(&mut self, id: &RequestId) -> bool {
        let Some(record) = self.history.records.get_mut(id) else {
            return false;
        };
        if record.expiry >= self.time {
            record.status = IngressStatus::Processing;
            self.history.changes.note(*id);
            return true;
        }
        let message = format!("Ingress message {id} timed out waiting to start executing.");
        let reject = Reject::of(ErrorCode::IngressMessageTimeout, message);
        self.history
            .finish(id, IngressStatus::Rejected(reject), self.time);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> RequestId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        RequestId(bytes)
    }

    fn receive(history: &mut History, number: usize, expiry: u64) {
        let nobody = Principal::anonymous();
        let message = Ingress {
            id: id(number),
            sender: nobody,
            canister: nobody,
            effective_canister: nobody,
            method: String::new(),
            arg: Vec::new(),
            info: None,
            expiry: Time(expiry),
            bytes: 0,
        };
        history.receive(&message, nobody);
    }

    #[test]
    fn open_messages_are_limited() {
        let mut history = History::default();
        for number in 0..limits::INGRESS_OPEN_MAX {
            assert_eq!(history.check_room(), Ok(()));
            receive(&mut history, number, 10);
        }
        assert!(
            history
                .check_room()
                .unwrap_err()
                .message
                .starts_with("10000 messages wait for an answer")
        );
        history.finish(&id(0), IngressStatus::Replied(vec![]), Time(1));
        assert_eq!(history.check_room(), Ok(()));
    }

    #[test]
    fn remembered_messages_are_limited_until_they_expire() {
        let mut history = History::default();
        for number in 0..limits::INGRESS_KNOWN_MAX {
            receive(&mut history, number, 10);
            history.finish(&id(number), IngressStatus::Replied(vec![]), Time(1));
        }
        assert!(
            history
                .check_room()
                .unwrap_err()
                .message
                .starts_with("500000 messages are remembered")
        );
        let later = Time(1).plus_nanos(limits::INGRESS_KEPT_SECONDS * 1_000_000_000);
        history.forget(later);
        assert_eq!(history.iter().len(), 0);
        assert_eq!(history.check_room(), Ok(()));
    }

    #[test]
    fn changes_are_known_as_far_back_as_they_are_remembered() {
        let mut history = History::default();
        assert_eq!(history.changed_since(0), Some(BTreeSet::new()));
        receive(&mut history, 1, 10);
        let before = history.change_count();
        receive(&mut history, 2, 10);
        history.finish(&id(1), IngressStatus::Replied(vec![]), Time(1));
        assert_eq!(
            history.changed_since(before),
            Some(BTreeSet::from([id(1), id(2)]))
        );
        for number in 3..limits::REQUEST_CHANGES_MAX {
            receive(&mut history, number, 10);
        }
        assert!(history.changed_since(before).is_some());
        assert!(history.changed_since(before - 1).is_some());
        receive(&mut history, 0, 10);
        assert!(history.changed_since(before).is_some());
        assert_eq!(history.changed_since(before - 1), None);
    }

    #[test]
    fn kept_replies_are_limited_in_bytes() {
        let mut history = History::default();
        let reply = vec![0; limits::INGRESS_ANSWER_BYTES_MAX / 4];
        for number in 0..4 {
            receive(&mut history, number, 10);
            history.finish(&id(number), IngressStatus::Replied(reply.clone()), Time(1));
        }
        let status = |history: &History, number| {
            history.get(&id(number)).map(|record| record.status.clone())
        };
        assert_eq!(status(&history, 0), Some(IngressStatus::Replied(reply)));
        receive(&mut history, 4, 10);
        history.finish(&id(4), IngressStatus::Replied(vec![1]), Time(2));
        assert_eq!(status(&history, 0), Some(IngressStatus::Done));
        assert_eq!(status(&history, 4), Some(IngressStatus::Replied(vec![1])));
    }

    #[test]
    fn an_answered_message_is_known_until_it_expires() {
        let mut history = History::default();
        let kept = limits::INGRESS_KEPT_SECONDS * 1_000_000_000;
        receive(&mut history, 1, kept + 50);
        history.finish(&id(1), IngressStatus::Replied(vec![1]), Time(10));
        history.finish(&id(1), IngressStatus::Replied(vec![2]), Time(10));
        let status = |history: &History| history.get(&id(1)).map(|record| record.status.clone());
        history.forget(Time(kept + 9));
        assert_eq!(
            status(&history),
            Some(IngressStatus::Replied(vec![1])),
            "the first answer counts"
        );
        history.forget(Time(kept + 10));
        assert_eq!(status(&history), Some(IngressStatus::Done));
        history.forget(Time(kept + 50));
        assert_eq!(status(&history), Some(IngressStatus::Done));
        history.forget(Time(kept + 51));
        assert_eq!(status(&history), None);
    }
}
