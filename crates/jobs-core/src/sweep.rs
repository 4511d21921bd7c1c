//! The sweep: ends what is overdue, a bounded number of things at a time.
//!
//! Deadlines are judged by every message that touches a lease or a job; the sweep only finds what
//! nobody touches.

use assay_protocol::{JobId, Timestamp, job::Reason, limits, store::Table};

use crate::{
    event::Event,
    leases::lack,
    market::Jobs,
    record::{Due, Live, Pulse},
    store::Backend,
};

/// How many offers are read for as much as one due thing costs.
const OFFERS_PER_THING: usize = 20;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Due things looked at.
    pub handled: usize,
    /// Whether more are due: call again soon.
    pub more: bool,
}

impl<B: Backend> Jobs<B> {
    /// Ends what is overdue, looking at no more than `budget` things, or at fewer that cost as much. To be called at least every
    /// [`limits::SWEEP_SECONDS`] while jobs are open; a longer silence of all updates counts as a
    /// stall and moves the deadlines on.
    pub fn sweep(&mut self, now: Timestamp, budget: usize) -> Swept {
        let live = self.touch(now);
        let (mut swept, mut offers) = (Swept::default(), 0);
        while let Some((at, due)) = self.first_due().filter(|(at, _)| *at < live) {
            if swept.handled + offers / OFFERS_PER_THING >= budget {
                swept.more = true;
                break;
            }
            swept.handled += 1;
            offers += self.handle(now, live, at, due);
        }
        swept
    }

    /// When the sweep has something to do next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.first_due().map(|(at, _)| self.real(at))
    }

    fn first_due(&self) -> Option<(Live, Due)> {
        self.store.due.keys(..).next()
    }

    /// Gives the number of offers that were read for it.
    fn handle(&mut self, now: Timestamp, live: Live, at: Live, due: Due) -> usize {
        match due {
            Due::Lease(id) => {
                // Heartbeats do not move the entry; it moves on here.
                if let Some(pulse) = self.store.pulses.get(&id).filter(|pulse| pulse.until > at) {
                    self.store.due.remove(&(at, due));
                    self.store.due.insert((pulse.until, due), ());
                    self.store.pulses.insert(
                        id,
                        Pulse {
                            due: pulse.until,
                            ..pulse
                        },
                    );
                } else {
                    self.end_overdue(now, live, id);
                }
            }
            Due::Job(id) => self.end_overdue_job(now, live, id),
            Due::Wait(id) => return self.end_wait(now, live, id),
            Due::Key(id) => self.record(now, Event::KeyForgotten { job: id }),
            Due::Payload(id) => self.prune(now, id),
        }
        0
    }

    /// Drops what was asked and answered in a job that ended long ago. One with much provisional output takes several
    /// turns; it stays due until then.
    fn prune(&mut self, now: Timestamp, id: JobId) {
        for lease in self.stored_job(id).leases {
            let chunks = self.store.chunks.keys((lease, 0)..=(lease, u32::MAX));
            let chunks: Vec<_> = chunks.take(limits::CHUNKS_DROPPED_MAX + 1).collect();
            for chunk in chunks.iter().take(limits::CHUNKS_DROPPED_MAX) {
                self.store.chunks.remove(chunk);
            }
            if chunks.len() > limits::CHUNKS_DROPPED_MAX {
                return;
            }
            self.store.streams.remove(&lease);
            self.store.claims.remove(&lease);
            self.store.openings.remove(&lease);
        }
        self.store.requests.remove(&id);
        self.record(now, Event::Pruned { job: id });
    }

    /// Goes on waiting for a missing worker while one may come, and gives up otherwise. Gives the number of offers that
    /// were read.
    fn end_wait(&mut self, now: Timestamp, live: Live, id: JobId) -> usize {
        self.end_overdue_job(now, live, id);
        let job = self.stored_job(id);
        if job.state.is_terminal() {
            return 0;
        }
        if job.deadline < live {
            self.end_expired(now, &job);
            return 0;
        }
        let missing = lack(&job, &self.round(&job)).total() > 0;
        let (around, offers) = match missing {
            true => self.is_anybody_around(now, &job),
            false => (false, 0),
        };
        if around {
            let until = live
                .plus_seconds(limits::EXTENSION_SECONDS)
                .min(job.deadline);
            self.record(now, Event::Waiting { job: id, until });
        } else {
            self.end_undone(now, &job, Reason::NoMoreWorkers);
        }
        offers
    }
}
