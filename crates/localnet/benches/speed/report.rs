//! The numbers, and how they are shown: a table with a bar for each, and JSON.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use serde::Serialize;

use crate::server::Subject;

/// Characters of the longest bar.
const BAR_MAX: usize = 24;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "1/s")]
    PerSecond,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "us")]
    Microseconds,
    #[serde(rename = "KiB")]
    Kibibytes,
}

impl Unit {
    const fn text(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Kibibytes => "KiB",
        }
    }
}

/// Where and with what the numbers were made.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    /// The profile that this program and the server were built with.
    build: &'static str,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        Self {
            processor: processor
                .unwrap_or_else(|| format!("a processor of {}", std::env::consts::ARCH)),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            build: if cfg!(debug_assertions) {
                "unoptimised; these numbers mean nothing"
            } else {
                "release"
            },
        }
    }
}

/// One number.
#[derive(Clone, Debug, Serialize)]
struct Row {
    subject: String,
    group: &'static str,
    what: String,
    unit: Unit,
    median: f64,
    runs: Vec<f64>,
}

/// All numbers.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    subjects: Vec<(String, String)>,
    module: String,
    module_bytes: usize,
    #[serde(skip)]
    runs: usize,
    rows: Vec<Row>,
}

/// The numbers of one subject in one group.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    report: &'a mut Report,
    subject: String,
    group: &'static str,
}

impl Report {
    pub(crate) fn new(machine: Machine, runs: usize, module: &Path, module_bytes: usize) -> Self {
        let module = module.file_name().unwrap_or_default();
        Self {
            machine,
            subjects: Vec::new(),
            module: module.to_string_lossy().into_owned(),
            module_bytes,
            runs,
            rows: Vec::new(),
        }
    }

    /// Where a subject's numbers of one kind go.
    pub(crate) fn rows(&mut self, subject: &Subject, group: &'static str) -> Rows<'_> {
        if !self.subjects.iter().any(|(name, _)| *name == subject.name) {
            self.subjects
                .push((subject.name.clone(), subject.version.clone()));
        }
        self.rows_of(&subject.name, group)
    }

    pub(crate) fn rows_of(&mut self, subject: &str, group: &'static str) -> Rows<'_> {
        Rows {
            report: self,
            subject: subject.to_owned(),
            group,
        }
    }

    pub(crate) fn json(&self) -> anyhow::Result<String> {
        let text = serde_json::to_string_pretty(self).context("BUG: a report is plain data")?;
        Ok(text + "\n")
    }

    pub(crate) fn print(&self, out: &mut impl io::Write) -> io::Result<()> {
        let Machine {
            processor,
            cores,
            build,
        } = &self.machine;
        writeln!(out, "{processor}, {cores} cores; build: {build}")?;
        for (name, version) in &self.subjects {
            writeln!(out, "{name}: {version}")?;
        }
        writeln!(
            out,
            "medians of {} runs; {} has {} KiB",
            self.runs,
            self.module,
            self.module_bytes >> 10
        )?;
        let mut shown: Vec<&'static str> = Vec::new();
        for row in &self.rows {
            if !shown.contains(&row.group) {
                shown.push(row.group);
                self.print_group(row.group, out)?;
            }
        }
        Ok(())
    }

    fn print_group(&self, group: &str, out: &mut impl io::Write) -> io::Result<()> {
        writeln!(out, "\n{group}")?;
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.group == group).collect();
        let widest = rows.iter().map(|row| row.what.chars().count()).max();
        for row in &rows {
            let most = rows
                .iter()
                .filter(|other| other.unit == row.unit)
                .map(|other| other.median)
                .fold(0.0, f64::max);
            let subject = match self.subjects.len() {
                0 | 1 => String::new(),
                _ => format!("{:<16}", row.subject),
            };
            writeln!(
                out,
                "  {:<width$}  {subject}{:>10} {:<3} {}",
                row.what,
                number(row.median),
                row.unit.text(),
                bar(row.median, most),
                width = widest.unwrap_or(0),
            )?;
        }
        Ok(())
    }
}

impl Rows<'_> {
    /// As many times as each number is measured.
    pub(crate) fn runs(&self) -> std::ops::Range<usize> {
        0..self.report.runs
    }

    /// Adds a number, by its runs.
    pub(crate) fn put(&mut self, what: impl Into<String>, unit: Unit, runs: Vec<f64>) {
        self.report.rows.push(Row {
            subject: self.subject.clone(),
            group: self.group,
            what: what.into(),
            unit,
            median: quantile(&runs, 0.5),
            runs,
        });
    }
}

/// The value below which this part of the values lies.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((part * last as f64).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Three digits that count, or all of a large number.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

fn bar(value: f64, most: f64) -> String {
    if most <= 0.0 || value <= 0.0 {
        return String::new();
    }
    let eighths = (value / most * (BAR_MAX * 8) as f64).round().max(1.0) as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(
        ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
            .get(eighths % 8)
            .copied(),
    );
    bar
}
