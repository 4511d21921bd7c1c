//! What the market takes over from the registry, page by page.
//!
//! Only what changed is logged, and only what the market uses.

use assay_protocol::{
    Timestamp,
    registry::{Model, Provider, Record, Worker},
    store::Table,
};

use crate::{event::Event, market::Jobs, record::ModelEntry, store::Backend};

impl<B: Backend> Jobs<B> {
    /// Where the next page of registry changes begins.
    pub fn cursor(&self) -> u64 {
        self.meta().cursor
    }

    /// Takes a page of registry changes, which must come from the registry itself; `next` is
    /// where the page after it begins.
    pub fn sync(&mut self, now: Timestamp, records: &[Record], next: u64) {
        for record in records {
            let event = match record {
                Record::Model(model) => self.changed_model(model),
                Record::Provider(provider) => self.changed_provider(provider),
                Record::Worker(worker) => self.changed_worker(worker),
            };
            if let Some(event) = event {
                self.record(now, event);
            }
        }
        if next != self.cursor() {
            self.record(now, Event::CursorMoved { next });
        }
    }

    fn changed_model(&self, model: &Model) -> Option<Event> {
        let Model {
            id,
            manifest,
            owner,
            registered_at: _,
            deprecated,
        } = model;
        let entry = ModelEntry {
            id: *id,
            name: manifest.name.clone(),
            semantics: manifest.semantics.clone(),
            encoder: manifest.is_encoder(),
            class: manifest.class(),
            model_root: manifest.model_root,
            context_max: manifest.context_max,
            royalty_bps: manifest.royalty_bps,
            verifiable: manifest.verifiable,
            owner: *owner,
            deprecated: *deprecated,
        };
        (self.store.models.get(id).as_ref() != Some(&entry)).then_some(Event::ModelSynced(entry))
    }

    fn changed_provider(&self, provider: &Provider) -> Option<Event> {
        let Provider {
            id,
            name: _,
            contact: _,
            payout,
            registered_at: _,
        } = provider;
        (self.store.payouts.get(id) != Some(*payout)).then_some(Event::ProviderSynced {
            provider: *id,
            payout: *payout,
        })
    }

    fn changed_worker(&self, worker: &Worker) -> Option<Event> {
        let Worker {
            operator,
            provider,
            hardware,
            backends: _,
            region: _,
            slots,
            status,
            added_at: _,
        } = worker;
        let speed = hardware.tokens_per_second_milli;
        let same = self.store.workers.get(operator).is_some_and(|known| {
            (
                known.provider,
                known.slots,
                known.status,
                known.tokens_per_second_milli,
            ) == (*provider, *slots, *status, speed)
        });
        (!same).then_some(Event::WorkerSynced {
            operator: *operator,
            provider: *provider,
            slots: *slots,
            status: *status,
            tokens_per_second_milli: speed,
        })
    }
}
