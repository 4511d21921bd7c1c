//! The market over one store: opening it, its clock, and the one door through which events go.

use std::fmt;

use assay_protocol::{
    Hash32, Hasher, JobId, Timestamp, limits,
    store::{Log, Table},
};

use crate::{
    apply::apply,
    config::{ConfigError, JobsConfig, Rules},
    event::{Entry, Event},
    record::{Job, Lease, Live, Meta},
    store::{Backend, Cell, Store},
};

/// What there was when randomness was asked for: it decides on nothing that came later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The job that would have been submitted next.
    pub(crate) job: JobId,
    /// Events in the log.
    pub(crate) events: u64,
}

/// The market over one store.
///
/// Fields named `volatile_*` may be lost at any time, as in an upgrade; the market then only does
/// a little work twice.
pub struct Jobs<B: Backend> {
    pub(crate) store: Store<B>,
    /// Whether matching could find something to do.
    pub(crate) volatile_match_due: bool,
    /// Whether something happened since the present pass through the queue began.
    pub(crate) volatile_match_news: bool,
    /// The queued job after which the next matching goes on.
    pub(crate) volatile_match_after: JobId,
    /// The job at which the present pass through the queue ends.
    pub(crate) volatile_match_until: JobId,
    /// The first job for which no canary was drawn yet.
    pub(crate) volatile_canary_from: JobId,
    /// A draw for each canary that is to be asked behind the next jobs.
    pub(crate) volatile_canaries: Vec<u128>,
    /// Receipts not yet taken to be certified.
    pub(crate) volatile_receipts: Vec<(JobId, Hash32)>,
}

impl<B: Backend> fmt::Debug for Jobs<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl<B: Backend> Jobs<B> {
    /// Opens a store, empty or not, and configures the market.
    pub fn open(store: Store<B>, now: Timestamp, config: JobsConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let before = store.meta.get().config;
        if let Some(before) = &before
            && before.canister != config.canister
        {
            return Err(ConfigError::OtherCanister {
                before: before.canister,
                now: config.canister,
            });
        }
        let kept = before.as_ref().and_then(|before| before.ledger);
        if let Some(before) = kept.filter(|_| kept != config.ledger) {
            return Err(ConfigError::OtherLedger { before });
        }
        let mut jobs = Self::reopen(store);
        if before.as_ref() != Some(&config) {
            jobs.record(now, Event::Configured(config));
        }
        Ok(jobs)
    }

    /// Opens a store that is configured already, as after an upgrade.
    ///
    /// Receipts of earlier runs are not among those that [`Jobs::take_receipts`] gives; read them
    /// with [`Jobs::receipt_hashes`].
    pub fn reopen(store: Store<B>) -> Self {
        let next = JobId(store.meta.get().last_job + 1);
        Self {
            store,
            volatile_canary_from: next,
            volatile_canaries: Vec::new(),
            volatile_match_due: true,
            volatile_match_news: false,
            volatile_match_after: JobId(0),
            volatile_match_until: JobId(0),
            volatile_receipts: Vec::new(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> JobsConfig {
        self.meta()
            .config
            .expect("BUG: a market is configured when it is opened")
    }

    /// The store, to read.
    pub fn store(&self) -> &Store<B> {
        &self.store
    }

    /// Closes the market and gives its store back.
    pub fn into_store(self) -> Store<B> {
        self.store
    }

    /// Mixes randomness into the secret behind salts. Needed once before the first submit; every
    /// matching does it again.
    pub fn seed(&mut self, random: [u8; 32]) {
        let mut vitals = self.store.vitals.get();
        let before = vitals.secret.unwrap_or_default();
        vitals.secret = Some(
            Hasher::new("assay-salt-secret-1")
                .hash(&before)
                .bytes(&random)
                .finish(),
        );
        self.store.vitals.set(vitals);
    }

    /// What there is now: note it before asking for randomness, for [`Jobs::match_jobs`].
    pub fn horizon(&self) -> Horizon {
        Horizon {
            job: self.next_job(),
            events: self.store.log.len(),
        }
    }

    /// Changes the rules; what was begun under others goes on by the new ones, except for what it has locked.
    pub fn set_rules(&mut self, now: Timestamp, rules: Rules) -> Result<(), ConfigError> {
        let config = JobsConfig {
            rules,
            ..self.config()
        };
        config.validate()?;
        if config != self.config() {
            self.record(now, Event::Configured(config));
            self.wake_matching();
        }
        Ok(())
    }

    /// Lets no new jobs in, and says why; those that are open go on. Without a reason they are let in again.
    pub fn set_pause(&mut self, now: Timestamp, reason: Option<String>) -> Result<(), String> {
        let bytes = reason.as_ref().map_or(1, String::len);
        if !(1..=limits::REASON_BYTES_MAX).contains(&bytes) {
            return Err(format!(
                "reason: {bytes} bytes, 1 to {} are allowed",
                limits::REASON_BYTES_MAX
            ));
        }
        if self.meta().paused != reason {
            self.record(now, Event::PauseSet { reason });
        }
        Ok(())
    }

    /// Why no new jobs are let in, if none are.
    pub fn pause(&self) -> Option<String> {
        self.meta().paused
    }

    /// How many events the log holds.
    pub fn log_len(&self) -> u64 {
        self.store.log.len()
    }

    /// One event, by index from 0.
    pub fn log_entry(&self, index: u64) -> Option<Entry> {
        self.store.log.get(index)
    }

    pub(crate) fn meta(&self) -> Meta {
        self.store.meta.get()
    }

    /// Appends an event to the log and applies it.
    pub(crate) fn record(&mut self, now: Timestamp, event: Event) {
        if matches!(
            event,
            Event::Submitted { .. }
                | Event::LeaseEnded { .. }
                | Event::Revealed { .. }
                | Event::Extended { .. }
                | Event::RoundEnded { .. }
                | Event::Ended { .. }
                | Event::OffersSet { .. }
                | Event::WorkerSynced { .. }
        ) {
            self.wake_matching();
        }
        let ended = match &event {
            Event::Ended { job, .. } => Some(*job),
            _ => None,
        };
        let entry = Entry {
            index: self.store.log.len(),
            previous: self.meta().head,
            at: now,
            event,
        };
        self.store.log.append(&entry);
        apply(&mut self.store, &entry);
        if let Some(job) = ended {
            let hash = self
                .store
                .receipts
                .get(&job)
                .expect("BUG: an ended job has a receipt");
            self.volatile_receipts.push((job, hash));
        }
    }

    /// Something happened that may let a queued job be matched.
    pub(crate) fn wake_matching(&mut self) {
        self.volatile_match_due = true;
        self.volatile_match_news = true;
    }

    /// The market's own time at `now`; moves all deadlines on if the canister has stood still.
    pub(crate) fn touch(&mut self, now: Timestamp) -> Live {
        let mut vitals = self.store.vitals.get();
        if now > vitals.seen {
            if self.meta().counts.open() > 0 && stands_still(vitals.seen, now) {
                self.record(
                    now,
                    Event::Stalled {
                        nanoseconds: now.since(vitals.seen),
                    },
                );
            }
            vitals.seen = now;
            self.store.vitals.set(vitals);
        }
        Live(vitals.seen.0.saturating_sub(self.meta().stalled))
    }

    /// A deadline in the canister's time.
    pub(crate) fn real(&self, live: Live) -> Timestamp {
        Timestamp(live.0.saturating_add(self.meta().stalled))
    }

    pub(crate) fn stored_job(&self, id: JobId) -> Job {
        self.store
            .jobs
            .get(&id)
            .expect("BUG: every job that is referred to exists")
    }

    pub(crate) fn round(&self, job: &Job) -> Vec<Lease> {
        round(&self.store, job)
    }
}

/// The leases of a job's present round, oldest first.
pub(crate) fn round<B: Backend>(store: &Store<B>, job: &Job) -> Vec<Lease> {
    let mut leases: Vec<Lease> = Vec::new();
    for id in job.leases.iter().rev() {
        let lease = store
            .leases
            .get(id)
            .expect("BUG: every lease of a job exists");
        if lease.round != job.round {
            break;
        }
        leases.push(lease);
    }
    leases.reverse();
    leases
}

fn stands_still(seen: Timestamp, now: Timestamp) -> bool {
    now.since(seen) > limits::STALL_SECONDS * 1_000_000_000
}
