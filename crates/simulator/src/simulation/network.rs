//! Calls and answers on their way, as well as the network carries them.

use assay_protocol::{lease::RevealArgs, store::Table};
use candid::Principal;

use super::{Answer, Event, Sent, Simulation};
use crate::{
    faults::Fault,
    message::{Call, Party, Reply},
    schedule::Millis,
};

/// Calls older than this are dropped by the network.
pub(super) const CALL_LIFE: Millis = 300_000;

impl Simulation {
    /// Sends a call, as well as the network is; gives its number.
    pub(super) fn send(&mut self, from: Party, call: Call) -> u64 {
        self.calls += 1;
        let (id, at) = (self.calls, self.schedule.now());
        let guaranteed = call.is_guaranteed();
        let copies = match guaranteed {
            true => 1,
            false if self.is_cut_off(from) => 0,
            false if self.faults.strikes(Fault::LostRequest, &mut self.rng) => 0,
            false => 1 + u8::from(self.faults.strikes(Fault::Duplicate, &mut self.rng)),
        };
        let sent = Box::new(Sent { from, id, at, call });
        for _ in 1..copies {
            let delay = self.delay();
            self.schedule.after(delay, Event::Call(sent.clone()));
        }
        if copies > 0 {
            let delay = self.delay();
            self.schedule.after(delay, Event::Call(sent));
        }
        id
    }

    fn is_cut_off(&self, party: Party) -> bool {
        let Party::Worker(i) = party else {
            return false;
        };
        let until = self.cut_off.get(&i);
        until.is_some_and(|until| self.schedule.now() < *until)
    }

    pub(super) fn delay(&mut self) -> Millis {
        let usual = self.rng.u64(20..60);
        if self.faults.strikes(Fault::Delay, &mut self.rng) {
            return self.rng.u64(1_000..CALL_LIFE);
        }
        if self.faults.strikes(Fault::Reorder, &mut self.rng) {
            return self.rng.u64(20..4_000);
        }
        usual
    }

    pub(super) fn deliver(&mut self, sent: Box<Sent>) -> Result<(), String> {
        let Sent { from, id, at, call } = &*sent;
        let (from, id) = (*from, *id);
        let now = self.schedule.now();
        let (until, stopped) = self.frozen;
        if now < until && (call.is_guaranteed() || !stopped) {
            // What waits comes in any order.
            let delay = until - now + self.rng.u64(..2_000);
            if call.is_guaranteed() || now + delay <= at + CALL_LIFE {
                self.schedule.after(delay, Event::Call(sent));
            }
            return Ok(());
        }
        let mut reply = if now < until {
            Reply::Unavailable
        } else {
            self.execute(from, call)?
        };
        if call.is_query() {
            // Queries are answered by one machine alone, which may be behind.
            let old = self.answers.insert(from, reply.clone());
            if let Some(old) = old.filter(|old| is_alike(old, &reply))
                && self.faults.strikes(Fault::StaleAnswer, &mut self.rng)
            {
                reply = old;
            }
        }
        if !self.is_cut_off(from) && !self.faults.strikes(Fault::LostReply, &mut self.rng) {
            let delay = self.delay();
            let answer = Answer {
                to: from,
                id,
                reply,
            };
            self.schedule.after(delay, Event::Reply(Box::new(answer)));
        }
        Ok(())
    }

    pub(super) fn execute(&mut self, from: Party, call: &Call) -> Result<Reply, String> {
        let caller = self.principal(from);
        let reply = self
            .watch
            .execute(&mut self.host, &self.truths, caller, call)?;
        if let Reply::Orders(Ok(orders)) = &reply {
            for order in orders {
                self.truths.note(order)?;
            }
        }
        if let (Call::Commit(_) | Call::Reveal(_), Reply::Step(lease, Ok(()))) = (call, &reply)
            && let Some(lease) = self.host.market.jobs.store().leases.get(lease)
        {
            match call {
                Call::Commit(args) => {
                    let leak = (args.lease, args.commitment);
                    self.leaks.commitments.insert(lease.job, leak);
                }
                Call::Reveal(args) => {
                    self.leaks
                        .openings
                        .insert(lease.job, RevealArgs::clone(args));
                }
                _ => {}
            }
        }
        if !call.is_query() {
            self.stepped()?;
        }
        Ok(reply)
    }

    pub(super) fn principal(&self, party: Party) -> Principal {
        match party {
            Party::Worker(i) => self.workers[i].operator,
            Party::Requester(i) => self.requesters[i].account,
        }
    }
}

/// Whether both answer the same kind of question.
fn is_alike(a: &Reply, b: &Reply) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}
