//! What a command shows: the report of its seeds and, where it measured them, the rates of capture.

use std::fmt;

use serde::Serialize;

use crate::{capture::Capture, report::Report};

/// A report, with rates of capture if they were measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// What the seeds gave.
    #[serde(flatten)]
    pub report: Report,
    /// What rings got.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub captures: Vec<Capture>,
}

impl Outcome {
    /// The outcome in JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("BUG: an outcome is plain data")
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.report)?;
        if self.captures.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "{:<15}{:>6}{:>9}{:>10}{:>10}{:>10}{:>10}",
            "wrong verified", "ring", "jobs", "captured", "rate", "bound", "margin"
        )?;
        for capture in &self.captures {
            writeln!(
                f,
                "{:<15}{:>4} %{:>9}{:>10}{:>8.2} %{:>8.2} %{:>8.2} %",
                capture.assurance,
                capture.ring_percent,
                capture.jobs,
                capture.captured,
                capture.rate * 100.0,
                capture.bound * 100.0,
                capture.margin * 100.0
            )?;
        }
        Ok(())
    }
}
