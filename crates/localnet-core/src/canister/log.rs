//! What a canister has printed, its traps included: the newest lines that fit.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use crate::{limits, types::Time};

/// A line that a canister printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number since the canister was created.
    pub index: u64,
    /// When.
    pub time: Time,
    /// The text, usually UTF-8.
    #[serde(with = "serde_bytes")]
    pub content: Vec<u8>,
}

impl LogLine {
    fn bytes(&self) -> usize {
        self.content.len() + limits::LOG_LINE_BYTES
    }
}

/// A ring of lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CanisterLog {
    lines: VecDeque<LogLine>,
    bytes: usize,
    bytes_max: usize,
    next: u64,
}

impl Default for CanisterLog {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            bytes_max: limits::LOG_BYTES_MAX,
            next: 0,
        }
    }
}

impl CanisterLog {
    /// Adds lines and forgets the oldest beyond the limit. A line that is too long alone is cut.
    pub(crate) fn extend(&mut self, time: Time, lines: Vec<Vec<u8>>) {
        for mut content in lines {
            content.truncate(self.bytes_max.saturating_sub(limits::LOG_LINE_BYTES));
            let line = LogLine {
                index: self.next,
                time,
                content,
            };
            self.next += 1;
            self.bytes += line.bytes();
            self.lines.push_back(line);
            self.make_room();
        }
    }

    /// Oldest first.
    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = &LogLine> {
        self.lines.iter()
    }

    /// Bytes that the lines take, their numbers and times included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number that the next line gets.
    pub(crate) fn next_index(&self) -> u64 {
        self.next
    }

    /// Sets how many bytes are kept; 0 keeps nothing.
    pub(crate) fn set_limit(&mut self, bytes: usize) {
        self.bytes_max = bytes;
        self.make_room();
    }

    /// Forgets the lines before this number; numbers go on.
    pub(crate) fn forget_before(&mut self, index: u64) {
        while self.lines.front().is_some_and(|line| line.index < index) {
            self.drop_oldest();
        }
    }

    fn make_room(&mut self) {
        while self.bytes > self.bytes_max {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        match self.lines.pop_front() {
            Some(line) => self.bytes -= line.bytes(),
            None => self.bytes = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(log: &CanisterLog) -> Vec<(u64, u64, usize)> {
        log.lines()
            .map(|line| (line.index, line.time.0, line.content.len()))
            .collect()
    }

    #[test]
    fn the_oldest_lines_make_room() {
        let mut log = CanisterLog::default();
        let first = limits::LOG_BYTES_MAX - 2 * limits::LOG_LINE_BYTES - 1;
        log.extend(Time(1), vec![vec![b'a'; first], vec![b'b']]);
        assert_eq!(log.lines().count(), 2);
        assert_eq!(log.bytes(), limits::LOG_BYTES_MAX);
        log.extend(Time(2), vec![vec![b'c']]);
        assert_eq!(kept(&log), [(1, 1, 1), (2, 2, 1)]);
    }

    #[test]
    fn empty_lines_take_room_and_long_ones_are_cut() {
        let mut log = CanisterLog::default();
        log.extend(Time(1), vec![Vec::new(); 1_000]);
        assert_eq!(
            log.lines().count(),
            limits::LOG_BYTES_MAX / limits::LOG_LINE_BYTES
        );
        let most = limits::LOG_BYTES_MAX - limits::LOG_LINE_BYTES;
        log.extend(Time(2), vec![vec![b'a'; most + 1]]);
        assert_eq!(kept(&log), [(1_000, 2, most)]);
    }

    #[test]
    fn the_limit_can_change_and_lines_be_forgotten() {
        let mut log = CanisterLog::default();
        log.extend(Time(1), vec![vec![1], vec![2], vec![3]]);
        log.forget_before(1);
        assert_eq!(kept(&log), [(1, 1, 1), (2, 1, 1)]);
        log.set_limit(limits::LOG_LINE_BYTES + 1);
        assert_eq!(kept(&log), [(2, 1, 1)]);
        log.set_limit(0);
        log.extend(Time(2), vec![vec![4]]);
        assert_eq!(kept(&log), []);
        assert_eq!((log.next_index(), log.bytes()), (4, 0));
    }
}
