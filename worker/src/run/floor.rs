//! The slots of this machine, which the loops of all jobs canisters share.
//!
//! Each loop looks at what all of them compute before it announces room, and takes its word back when others have taken
//! the room. Two canisters that grant leases in the same moment are both served: then, for a while, one run more than
//! there are slots shares the threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Tickets;

/// What the loops know of each other.
#[derive(Debug)]
pub(crate) struct Floor {
    shards: Vec<Place>,
}

#[derive(Debug, Default)]
struct Place {
    tickets: Mutex<Tickets>,
    wake: Notify,
}

impl Floor {
    /// Room for so many loops.
    pub(super) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Place::default()).collect(),
        }
    }

    /// The leases of one canister.
    pub(super) fn tickets(&self, shard: usize) -> MutexGuard<'_, Tickets> {
        self.shards[shard]
            .tickets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What makes a loop look again at once.
    pub(super) fn wake(&self, shard: usize) -> &Notify {
        &self.shards[shard].wake
    }

    /// Slots taken, by leases of whichever canister.
    pub(super) fn busy(&self) -> usize {
        let computing = |shard| {
            let tickets = self.tickets(shard);
            tickets
                .live
                .values()
                .filter(|ticket| ticket.is_computing())
                .count()
        };
        (0..self.shards.len()).map(computing).sum()
    }

    /// Lets all loops but this one look at once: what they announced may be too much now.
    pub(super) fn wake_others(&self, shard: usize) {
        for (other, place) in self.shards.iter().enumerate() {
            if other != shard {
                place.wake.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use assay_protocol::LeaseId;

    use super::*;
    use crate::run::Ticket;

    #[test]
    fn leases_of_all_canisters_take_slots_until_they_are_committed() {
        let floor = Floor::new(2);
        let ticket = Arc::new(Ticket::new(LeaseId(1)));
        for shard in 0..2 {
            // Equal numbers, each its own canister's.
            let ticket = match shard {
                0 => ticket.clone(),
                _ => Arc::new(Ticket::new(LeaseId(1))),
            };
            floor.tickets(shard).live.insert(LeaseId(1), ticket);
        }
        assert_eq!(floor.busy(), 2);
        ticket.committed();
        assert_eq!(floor.busy(), 1);
        floor.tickets(1).forget(LeaseId(1));
        assert_eq!(floor.busy(), 0);
        assert!(!floor.tickets(0).live.is_empty());
    }

    #[tokio::test]
    async fn the_others_are_woken() {
        let floor = Floor::new(3);
        floor.wake_others(1);
        floor.wake(0).notified().await;
        floor.wake(2).notified().await;
        let own = tokio::time::timeout(
            std::time::Duration::from_millis(1),
            floor.wake(1).notified(),
        );
        assert!(own.await.is_err());
    }
}
