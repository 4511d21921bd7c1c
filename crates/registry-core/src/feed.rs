//! The change feed: how jobs canisters follow the registry, page by page.

use assay_protocol::{
    limits::{PAGE_BYTES_MAX, PAGE_MAX},
    registry::{Changes, ChangesArgs, Record},
    store::Table,
};

use crate::{
    Registry,
    store::{Backend, RecordKey},
};

impl<B: Backend> Registry<B> {
    /// A page of the feed. Past its end the page is empty and `next` stays where it was.
    pub fn changes(&self, args: &ChangesArgs) -> Changes {
        let ChangesArgs { from, limit } = *args;
        let limit = limit.clamp(1, PAGE_MAX) as usize;
        let mut page = Changes {
            records: Vec::new(),
            next: from,
            more: false,
        };
        let mut bytes = 0;
        for (place, key) in self.store().feed.range(from..) {
            let Some(record) = self.record(&key) else {
                continue;
            };
            bytes += record.size_bytes();
            if page.records.len() == limit || (bytes > PAGE_BYTES_MAX && !page.records.is_empty()) {
                page.more = true;
                break;
            }
            page.records.push(record);
            page.next = place + 1;
        }
        page
    }

    fn record(&self, key: &RecordKey) -> Option<Record> {
        match key {
            RecordKey::Provider(id) => self.provider(id).map(Record::Provider),
            RecordKey::Worker(operator) => self.worker(operator).map(Record::Worker),
            RecordKey::Model(id) => self.model(id).map(Record::Model),
        }
    }
}
