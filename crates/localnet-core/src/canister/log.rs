//! What a canister has printed: the newest lines that fit.

use std::collections::VecDeque;

use crate::{limits, types::Time};

/// A line that a canister printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its number since the canister was created.
    pub index: u64,
    /// When.
    pub time: Time,
    /// The text, usually UTF-8.
    pub content: Vec<u8>,
}

/// A ring of lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct CanisterLog {
    lines: VecDeque<LogLine>,
    bytes: usize,
    next: u64,
}

impl CanisterLog {
    /// Adds lines and forgets the oldest beyond [`limits::LOG_BYTES_MAX`].
    pub(crate) fn extend(&mut self, time: Time, lines: Vec<Vec<u8>>) {
        for content in lines {
            self.bytes += content.len();
            self.lines.push_back(LogLine {
                index: self.next,
                time,
                content,
            });
            self.next += 1;
        }
        while self.bytes > limits::LOG_BYTES_MAX {
            let Some(line) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= line.content.len();
        }
    }

    /// Oldest first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &LogLine> {
        self.lines.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_make_room() {
        let mut log = CanisterLog::default();
        log.extend(
            Time(1),
            vec![vec![b'a'; limits::LOG_BYTES_MAX - 1], vec![b'b']],
        );
        assert_eq!(log.lines().count(), 2);
        log.extend(Time(2), vec![vec![b'c']]);
        let kept: Vec<_> = log
            .lines()
            .map(|line| (line.index, line.time.0, line.content.len()))
            .collect();
        assert_eq!(kept, [(1, 1, 1), (2, 2, 1)]);
    }
}
