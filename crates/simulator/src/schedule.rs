//! What happens when: events in the order of their times, and of their making where times are equal.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Milliseconds since the simulation began.
pub(crate) type Millis = u64;

/// Events to come.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    now: Millis,
    made: u64,
    heap: BinaryHeap<Reverse<Item<E>>>,
}

#[derive(Debug)]
struct Item<E> {
    key: (Millis, u64),
    /// Apart, so that the heap moves little.
    event: Box<E>,
}

impl<E> Schedule<E> {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            made: 0,
            heap: BinaryHeap::new(),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    /// Lets an event happen so many milliseconds from now.
    pub(crate) fn after(&mut self, delay: Millis, event: E) {
        self.made += 1;
        let key = (self.now + delay, self.made);
        let event = Box::new(event);
        self.heap.push(Reverse(Item { key, event }));
    }

    /// The next event; its time is now.
    pub(crate) fn pop(&mut self) -> Option<E> {
        let Reverse(Item { key, event }) = self.heap.pop()?;
        self.now = key.0;
        Some(*event)
    }
}

impl<E> PartialEq for Item<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Item<E> {}

impl<E> PartialOrd for Item<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Item<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_age() {
        let mut schedule = Schedule::new();
        for (delay, name) in [(5, "c"), (1, "a"), (5, "d"), (2, "b")] {
            schedule.after(delay, name);
        }
        let order: Vec<_> = std::iter::from_fn(|| schedule.pop()).collect();
        assert_eq!(order, ["a", "b", "c", "d"]);
        assert_eq!(schedule.now(), 5);
    }
}
