//! The queue: jobs that want workers. It is kept by model, so that whoever looks for work never reads past jobs that
//! nobody at hand could do, however many there are.

use std::{cmp::Reverse, collections::BinaryHeap, ops::Bound};

use assay_protocol::{JobId, ModelId, store::Table};

use crate::{market::Jobs, store::Backend};

/// A walk through the queues of some models together, oldest job first.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The next job of each model that is still walked through.
    heads: BinaryHeap<Reverse<(JobId, ModelId)>>,
    until: JobId,
}

impl Walk {
    /// The next job. Its model is walked through further only after [`Jobs::walk_on`].
    pub(crate) fn next(&mut self) -> Option<(JobId, ModelId)> {
        self.heads.pop().map(|Reverse(head)| head)
    }
}

impl<B: Backend> Jobs<B> {
    /// Begins to walk through the queues of these models: jobs after `after` and before `until`.
    pub(crate) fn walk(
        &self,
        models: impl IntoIterator<Item = ModelId>,
        after: JobId,
        until: JobId,
    ) -> Walk {
        let mut walk = Walk {
            heads: BinaryHeap::new(),
            until,
        };
        for model in models {
            self.walk_on(&mut walk, after, model);
        }
        walk
    }

    /// Goes on with a model's queue after one of its jobs.
    pub(crate) fn walk_on(&self, walk: &mut Walk, after: JobId, model: ModelId) {
        let rest = (
            Bound::Excluded((model, after)),
            Bound::Excluded((model, walk.until)),
        );
        if let Some((_, job)) = self.store.wanted.keys(rest).next() {
            walk.heads.push(Reverse((job, model)));
        }
    }

    /// Whether any job wants workers.
    pub(crate) fn is_work_wanted(&self) -> bool {
        !self.store.wanted.is_empty()
    }
}
