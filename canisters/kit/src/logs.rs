//! The latest log lines of a canister.
//!
//! They lie on the heap: an upgrade begins with none, and what a message that traps has logged goes with all else that
//! it did. Everybody may read them, so nothing of requests, answers or keys belongs into them.
//!
//! Invariant: at most [`LOG_LINES_MAX`] lines, each one line of at most [`LOG_LINE_BYTES_MAX`] bytes of text.

use std::{collections::VecDeque, fmt};

use assay_protocol::{
    Timestamp,
    limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX},
};

/// Stands where a text was cut.
const CUT: &str = "…";

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What was done as it should be.
    Info,
    /// What went wrong and is tried again.
    Warn,
    /// What wants a human.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        })
    }
}

#[derive(Clone, Debug)]
struct Line {
    at: Timestamp,
    level: Level,
    text: String,
}

/// A ring of log lines.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    lines: VecDeque<Line>,
    /// Lines that made room for later ones.
    gone: u64,
}

impl Logs {
    /// Adds a line; the oldest makes room for it where there is none.
    pub fn add(&mut self, at: Timestamp, level: Level, text: impl fmt::Display) {
        if self.lines.len() == LOG_LINES_MAX {
            self.lines.pop_front();
            self.gone += 1;
        }
        let text = one_line(&text.to_string());
        self.lines.push_back(Line { at, level, text });
    }

    /// All lines as plain text, the newest last; the first line says how many older ones are gone.
    pub fn text(&self) -> String {
        use fmt::Write as _;
        let mut text = String::new();
        let written = match self.gone {
            0 => Ok(()),
            gone => writeln!(text, "{gone} older lines are gone"),
        };
        written
            .and_then(|()| {
                let mut lines = self.lines.iter();
                lines.try_for_each(
                    |Line {
                         at,
                         level,
                         text: of,
                     }| { writeln!(text, "{at} {level:<5} {of}") },
                )
            })
            .expect("strings take all");
        text
    }
}

/// The text in one line that keeps the limit.
fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.len() > LOG_LINE_BYTES_MAX {
        line.truncate(line.floor_char_boundary(LOG_LINE_BYTES_MAX - CUT.len()));
        line.push_str(CUT);
    }
    line
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn second(second: u64) -> Timestamp {
        Timestamp(1_700_000_000_000_000_000).plus_seconds(second)
    }

    #[test]
    fn lines_have_time_and_level_and_the_newest_is_last() {
        let mut logs = Logs::default();
        assert_eq!(logs.text(), "");
        logs.add(second(0), Level::Info, "installed");
        logs.add(second(1), Level::Warn, format_args!("transfer {}", 7));
        logs.add(second(61), Level::Error, "look");
        expect![[r#"
            2023-11-14T22:13:20.000Z INFO  installed
            2023-11-14T22:13:21.000Z WARN  transfer 7
            2023-11-14T22:14:21.000Z ERROR look
        "#]]
        .assert_eq(&logs.text());
    }

    #[test]
    fn the_oldest_line_makes_room_when_the_ring_is_full() {
        let mut logs = Logs::default();
        for line in 1..=LOG_LINES_MAX {
            logs.add(second(0), Level::Info, format_args!("line {line}."));
        }
        let text = logs.text();
        assert_eq!(text.lines().count(), LOG_LINES_MAX);
        assert!(text.lines().next().unwrap().ends_with(" line 1."));

        logs.add(second(0), Level::Info, "one more");
        let text = logs.text();
        assert_eq!(text.lines().count(), LOG_LINES_MAX + 1, "with the note");
        assert!(text.starts_with("1 older lines are gone\n"), "{text}");
        assert!(!text.contains(" line 1.") && text.contains(" line 2."));
        assert!(text.ends_with(" one more\n"));
    }

    #[test]
    fn a_text_is_cut_just_past_the_limit_and_never_within_a_character() {
        let whole = "x".repeat(LOG_LINE_BYTES_MAX);
        assert_eq!(one_line(&whole), whole);
        let cut = one_line(&format!("{whole}x"));
        assert_eq!(cut.len(), LOG_LINE_BYTES_MAX);
        assert!(cut.ends_with("x…"), "{cut}");
        for shift in 0..4 {
            let text = "x".repeat(shift) + &"🎈".repeat(LOG_LINE_BYTES_MAX);
            let cut = one_line(&text);
            assert!(cut.len() <= LOG_LINE_BYTES_MAX && cut.ends_with("🎈…"));
        }
    }

    #[test]
    fn a_text_cannot_make_lines_of_its_own() {
        assert_eq!(one_line("a\nb\r\u{1b}[2Jc\u{85}d"), "a b  [2Jc d");
    }
}
