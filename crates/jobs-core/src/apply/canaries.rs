//! Applying what happens to canaries.

use assay_protocol::{JobId, store::Table};
use candid::Principal;

use super::Step;
use crate::{event::Event, record::CanaryEntry, store::Backend};

impl<B: Backend> Step<'_, B> {
    /// Applies an event about a canary; another kind is nothing to it.
    pub(super) fn canary(&mut self, event: &Event) {
        match event {
            Event::CanaryAdded {
                number,
                account,
                payer,
                amount,
            } => {
                self.debit(*payer, *amount);
                self.credit(*account, *amount);
                self.store.canaries.insert(
                    *number,
                    CanaryEntry {
                        account: *account,
                        payer: *payer,
                        job: None,
                        outcome: None,
                    },
                );
                self.store.canary_queue.insert(*number, ());
                self.store.decoys.insert(*account, *number);
            }
            Event::CanaryReturned {
                number,
                amount,
                outcome,
            } => {
                let mut canary = self.known_canary(*number);
                self.debit(canary.account, *amount);
                self.credit(canary.payer, *amount);
                canary.outcome = Some(*outcome);
                self.store.canary_queue.remove(number);
                self.store.canaries.insert(*number, canary);
            }
            _ => {}
        }
    }

    /// A job was submitted: a canary, if this account is one's.
    pub(super) fn canary_asked(&mut self, account: Principal, job: JobId) {
        if self.store.canary_queue.len() == 0 {
            return;
        }
        if let Some(number) = self.store.decoys.get(&account) {
            let mut canary = self.known_canary(number);
            canary.job = Some(job);
            self.store.canary_queue.remove(&number);
            self.store.canaries.insert(number, canary);
        }
    }

    fn known_canary(&self, number: u64) -> CanaryEntry {
        let canary = self.store.canaries.get(&number);
        canary.expect("BUG: a canary is known")
    }
}
