//! How many rounds there were by the end of each day, for those who ask what nodes have done.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use crate::{limits, types::Time};

const NANOS_PER_DAY: u64 = 86_400 * 1_000_000_000;

/// The last round of each day, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Days(VecDeque<(Time, u64)>);

impl Days {
    /// Notes a round; the last one of a day stays.
    pub(crate) fn note(&mut self, time: Time, rounds: u64) {
        let day = |time: Time| time.0 / NANOS_PER_DAY;
        if let Some(last) = self.0.back_mut().filter(|last| day(last.0) == day(time)) {
            *last = (time, rounds);
            return;
        }
        self.0.push_back((time, rounds));
        if self.0.len() > limits::NODE_METRICS_DAYS_MAX {
            self.0.pop_front();
        }
    }

    /// Days that ended at this time or later, and the rounds by then.
    pub(crate) fn since(&self, start: u64) -> impl Iterator<Item = (Time, u64)> {
        self.0
            .iter()
            .copied()
            .filter(move |(time, _)| time.0 >= start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_keeps_its_last_round_and_sixty_days_are_kept() {
        let mut days = Days::default();
        for round in 0..61 * 2 {
            days.note(Time(round * NANOS_PER_DAY / 2), round);
        }
        let kept: Vec<_> = days.since(0).map(|(_, rounds)| rounds).collect();
        assert_eq!(kept.len(), limits::NODE_METRICS_DAYS_MAX);
        assert_eq!((kept[0], kept[59]), (3, 121));
        let last = 121 * NANOS_PER_DAY / 2;
        assert_eq!(days.since(last).count(), 1);
        assert_eq!(days.since(last + 1).count(), 0);
    }
}
