//! What `bench engine` shows: a table with bars, the ratios last, and a plot.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context;
use serde::Serialize;

use super::{Load, Numbers, values};
use crate::process;

/// The name of our side.
pub(super) const OURS: &str = "Assay W8A15";

/// Cells of the longest bar.
const BAR_MAX: f64 = 30.0;

/// Everything that was measured.
#[derive(Serialize)]
pub(super) struct Report {
    processor: String,
    peer: Option<String>,
    speeds: Vec<Speed>,
    checks: Vec<Check>,
}

/// One subject under one load.
#[derive(Serialize)]
struct Speed {
    load: &'static str,
    threads: usize,
    subject: &'static str,
    prefill: Vec<f64>,
    decode: Vec<f64>,
    first_token_s: Vec<f64>,
    load_s: Vec<f64>,
    cold_first_token_s: Vec<f64>,
}

/// What checking costs.
#[derive(Serialize)]
struct Check {
    threads: usize,
    output: f64,
    generate_s: f64,
    check_s: f64,
    /// Share of decode that one thread hashes.
    hashing: f64,
}

/// The middle of several runs.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len() / 2), sorted.len() % 2) {
        (Some(middle), 1) => *middle,
        (Some(upper), _) => (sorted[sorted.len() / 2 - 1] + upper) / 2.0,
        (None, _) => f64::NAN,
    }
}

impl Report {
    pub(super) fn new(peer: Option<String>) -> Self {
        Self {
            processor: processor(),
            peer,
            speeds: Vec::new(),
            checks: Vec::new(),
        }
    }

    pub(super) fn speed(
        &mut self,
        load: Load,
        threads: usize,
        subject: &'static str,
        runs: &[Numbers],
    ) {
        self.speeds.push(Speed {
            load: load.name,
            threads,
            subject,
            prefill: values(runs, "prefill"),
            decode: values(runs, "decode"),
            first_token_s: values(runs, "first_token_s"),
            load_s: values(runs, "load_s"),
            cold_first_token_s: values(runs, "cold_first_token_s"),
        });
    }

    pub(super) fn check(&mut self, threads: usize, runs: &[Numbers]) {
        let middle = |name| median(&values(runs, name));
        let (output, generate_s) = (middle("output"), middle("generate_s"));
        self.checks.push(Check {
            threads,
            output,
            generate_s,
            check_s: middle("check_s"),
            hashing: middle("hashing_s") * output / generate_s,
        });
    }

    pub(super) fn json(&self) -> anyhow::Result<String> {
        serde_json::to_string_pretty(self).context("BUG: a report is plain data")
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
        process::out(&self.processor)?;
        if let Some(peer) = &self.peer {
            process::out(peer)?;
        }
        if !super::has_amx() {
            process::out("this processor has no AMX: nothing here uses it, on either side")?;
        }
        for (unit, of) in [
            (
                "prefill, tokens/s",
                (|s| &s.prefill) as fn(&Speed) -> &Vec<f64>,
            ),
            ("decode, tokens/s", |s| &s.decode),
            ("first token, seconds", |s| &s.first_token_s),
            ("cold start to the first token, seconds", |s| {
                &s.cold_first_token_s
            }),
        ] {
            process::out(&format!("\n{unit}"))?;
            // Several sequences have no prompt of their own to measure.
            let measured = || self.speeds.iter().filter(|s| !of(s).is_empty());
            let most = measured().map(|s| median(of(s))).fold(0.0, f64::max);
            for speed in measured() {
                let value = median(of(speed));
                let bar = "█".repeat((value / most * BAR_MAX).round() as usize);
                process::out(&format!(
                    "  {:16} {} T  {:16} {value:>9.3}  {bar}",
                    speed.load, speed.threads, speed.subject
                ))?;
            }
        }
        process::out("\nchecking an answer by prefill")?;
        for check in &self.checks {
            process::out(&format!(
                "  {} T  {} tokens: generated in {:.3} s, checked in {:.3} s: {:.3} of it; hashing the trace {:.2} % of decode",
                check.threads,
                check.output,
                check.generate_s,
                check.check_s,
                check.check_s / check.generate_s,
                100.0 * check.hashing
            ))?;
        }
        let ratios = self.ratios();
        if !ratios.is_empty() {
            process::out("\nratios: above 1 the engine is faster")?;
            for line in ratios {
                process::out(&line)?;
            }
        }
        Ok(())
    }

    /// Ours by each of the others.
    fn ratios(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for ours in self.speeds.iter().filter(|s| s.subject == OURS) {
            for theirs in self
                .speeds
                .iter()
                .filter(|s| s.subject != OURS && s.load == ours.load && s.threads == ours.threads)
            {
                let prefill = match ours.prefill.is_empty() {
                    true => " ".repeat(12),
                    false => format!(
                        "prefill {:.2}",
                        median(&ours.prefill) / median(&theirs.prefill)
                    ),
                };
                lines.push(format!(
                    "  {:16} {} T  to {:16} {prefill}  decode {:.2}",
                    ours.load,
                    ours.threads,
                    theirs.subject,
                    median(&ours.decode) / median(&theirs.decode)
                ));
            }
        }
        lines
    }

    /// Bars of prefill and decode, as SVG.
    pub(super) fn plot(&self) -> String {
        const WIDTH: f64 = 760.0;
        const ROW: f64 = 22.0;
        const LABEL: f64 = 260.0;
        let mut body = String::new();
        let mut y = 30.0;
        let colors: BTreeMap<&str, &str> = self
            .speeds
            .iter()
            .map(|s| s.subject)
            .zip(["#2563eb", "#9ca3af", "#d1d5db"])
            .collect();
        for (title, of) in [
            (
                "prefill, tokens per second",
                (|s| &s.prefill) as fn(&Speed) -> &Vec<f64>,
            ),
            ("decode, tokens per second", |s| &s.decode),
        ] {
            let measured = || self.speeds.iter().filter(|s| !of(s).is_empty());
            let most = measured().map(|s| median(of(s))).fold(0.0, f64::max);
            let _ = writeln!(
                body,
                "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{title}</text>"
            );
            y += 10.0;
            for speed in measured() {
                let value = median(of(speed));
                let length = value / most * (WIDTH - LABEL - 80.0);
                let color = colors.get(speed.subject).copied().unwrap_or("#d1d5db");
                let _ = writeln!(
                    body,
                    "<text x=\"10\" y=\"{text}\">{load}, {threads} T, {subject}</text>\
                     <rect x=\"{LABEL}\" y=\"{y}\" width=\"{length:.1}\" height=\"16\" fill=\"{color}\"/>\
                     <text x=\"{end:.1}\" y=\"{text}\">{value:.0}</text>",
                    text = y + 13.0,
                    load = speed.load,
                    threads = speed.threads,
                    subject = speed.subject,
                    end = LABEL + length + 6.0,
                );
                y += ROW;
            }
            y += 30.0;
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{y}\" fill=\"white\"/>\n{body}</svg>\n"
        )
    }
}

/// The processor's name and how many of its cores there are.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{name}, {cores} cores")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(prefill: f64, decode: f64) -> Numbers {
        [("prefill", prefill), ("decode", decode)]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratios_compare_equal_loads_and_threads_only() {
        let mut report = Report::new(None);
        let load = super::super::LOADS[0];
        report.speed(load, 1, OURS, &[run(100.0, 30.0)]);
        report.speed(load, 1, "peer", &[run(50.0, 20.0), run(40.0, 10.0)]);
        report.speed(load, 2, "peer", &[run(1.0, 1.0)]);
        assert_eq!(
            report.ratios(),
            ["  prompt of 512    1 T  to peer             prefill 2.22  decode 2.00"]
        );
        let plot = report.plot();
        assert_eq!(plot.matches("<rect x").count(), 6);
    }
}
