//! What happens when: events in the order of their times, and of their making where times are equal.

use std::collections::BTreeMap;

/// Milliseconds since the simulation began.
pub(crate) type Millis = u64;

/// Events to come.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    now: Millis,
    made: u64,
    events: BTreeMap<Ticket, E>,
}

/// When an event happens, and the number of its making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(Millis, u64);

impl<E> Schedule<E> {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            made: 0,
            events: BTreeMap::new(),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    /// Lets an event happen so many milliseconds from now.
    pub(crate) fn after(&mut self, delay: Millis, event: E) -> Ticket {
        self.made += 1;
        let ticket = Ticket(self.now + delay, self.made);
        self.events.insert(ticket, event);
        ticket
    }

    /// Lets an event not happen after all; nothing if it has.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        self.events.remove(&ticket);
    }

    /// The next event; its time is now.
    pub(crate) fn pop(&mut self) -> Option<E> {
        let (Ticket(at, _), event) = self.events.pop_first()?;
        self.now = at;
        Some(event)
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

    #[test]
    fn what_is_cancelled_does_not_happen() {
        let mut schedule = Schedule::new();
        let first = schedule.after(1, "a");
        let second = schedule.after(2, "b");
        schedule.after(2, "c");
        schedule.cancel(second);
        assert_eq!(schedule.pop(), Some("a"));
        schedule.cancel(first);
        assert_eq!((schedule.pop(), schedule.pop()), (Some("c"), None));
    }
}
