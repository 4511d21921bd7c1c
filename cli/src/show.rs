//! Talking to people: data to standard output, talk to standard error.

use std::{
    error::Error as _,
    fmt,
    io::{self, Write as _},
    time::{Duration, Instant},
};

use assay_protocol::{Timestamp, job::Reason};
use candid::Principal;

use crate::Failure;

/// A line of data.
pub(crate) fn out(line: impl fmt::Display) {
    // A reader that went away (`| head`) is no failure.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// A piece of data, shown at once.
pub(crate) fn piece(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// A line of talk.
pub(crate) fn talk(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A piece of talk, shown at once.
pub(crate) fn talk_piece(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Why the command failed, with its causes.
pub(crate) fn failure(failure: &Failure) {
    let mut text = format!("assay: {failure}");
    let mut source = failure.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    talk(text);
}

/// Runs one slow step and says on one line what it gave and how long it took.
pub(crate) async fn step<T>(
    name: &str,
    work: impl Future<Output = Result<(T, String), Failure>>,
) -> Result<T, Failure> {
    let started = Instant::now();
    let (value, found) = work.await?;
    talk(format_args!(
        "  {name:<11} {found:<58} {}",
        seconds(started.elapsed())
    ));
    Ok(value)
}

/// `1.2 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Seconds since `start`, as `+1.2 s`.
pub(crate) fn since(start: Timestamp, at: Timestamp) -> String {
    format!("+{:.1} s", at.since(start) as f64 / 1e9)
}

/// The first group of a principal, for people.
pub(crate) fn short(principal: &Principal) -> String {
    principal
        .to_text()
        .split('-')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A text from outside, without anything that could drive a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            // Controls, and characters that reorder or hide what is around them.
            c if c.is_control() => '\u{fffd}',
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A reason in words.
pub(crate) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Submitted => "submitted".to_owned(),
        Reason::Matched => "matched with a worker".to_owned(),
        Reason::NotClaimed => "a worker did not claim its lease in time".to_owned(),
        Reason::HeartbeatLost => "a worker's heartbeats stopped".to_owned(),
        Reason::RunTooLong => "a run took longer than allowed".to_owned(),
        Reason::Declined(why) => format!("a worker cannot do what is asked: {}", plain(why)),
        Reason::Abandoned(why) => format!("a worker gave its lease back: {}", plain(why)),
        Reason::AllCommitted => "all commitments are in".to_owned(),
        Reason::NotRevealed => "a commitment was not opened in time".to_owned(),
        Reason::CommitmentMismatch => "what was revealed does not open the commitment".to_owned(),
        Reason::Malformed(why) => format!("what was revealed breaks a rule: {}", plain(why)),
        Reason::RootsAgree => "the roots agree".to_owned(),
        Reason::RootsDiffer => "the roots differ".to_owned(),
        Reason::CheckerDisagrees => "a checker disagrees, another is asked".to_owned(),
        Reason::Audited => "the market has the answer checked".to_owned(),
        Reason::GenerationRejected => "checkers agree that the generation is wrong".to_owned(),
        Reason::NotCompared => "nobody had to compare it".to_owned(),
        Reason::NoMoreWorkers => "no further worker could be found".to_owned(),
        Reason::LimitReached(what) => format!("a limit of the job is used up: {}", plain(what)),
        Reason::CancelledByRequester => "the requester cancelled".to_owned(),
        Reason::DeadlinePassed => "the job's deadline passed".to_owned(),
        Reason::NoLongerNeeded => "no longer needed".to_owned(),
        Reason::Other(text) => plain(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_drive_the_terminal() {
        assert_eq!(
            plain("a\u{1b}[2Jb\u{7}\u{202e}c\nd\u{200b}"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\nd\u{fffd}"
        );
        assert_eq!(plain("naïve 日本語 🎈"), "naïve 日本語 🎈");
    }
}
