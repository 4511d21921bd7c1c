//! Metrics as Prometheus text.

use std::fmt::Write;

/// Writes metrics, all behind one prefix.
#[derive(Debug)]
pub struct Metrics {
    prefix: &'static str,
    text: String,
}

impl Metrics {
    /// Nothing yet; names will begin with `prefix` and an underscore.
    pub fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            text: String::new(),
        }
    }

    /// A number that only grows. Names of counters end in `_total`.
    pub fn counter(&mut self, name: &str, value: u128, help: &str) -> &mut Self {
        self.header(name, "counter", help).sample(name, None, value)
    }

    /// A number that goes up and down.
    pub fn gauge(&mut self, name: &str, value: u128, help: &str) -> &mut Self {
        self.header(name, "gauge", help).sample(name, None, value)
    }

    /// A number of each kind, told apart by one label.
    pub fn gauges(
        &mut self,
        name: &str,
        label: &str,
        values: &[(&str, u128)],
        help: &str,
    ) -> &mut Self {
        self.header(name, "gauge", help)
            .samples(name, label, values)
    }

    /// A number of each kind that only grows.
    pub fn counters(
        &mut self,
        name: &str,
        label: &str,
        values: &[(&str, u128)],
        help: &str,
    ) -> &mut Self {
        self.header(name, "counter", help)
            .samples(name, label, values)
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    fn header(&mut self, name: &str, kind: &str, help: &str) -> &mut Self {
        let Self { prefix, text } = self;
        write!(
            text,
            "# HELP {prefix}_{name} {help}\n# TYPE {prefix}_{name} {kind}\n"
        )
        .expect("strings take all");
        self
    }

    fn samples(&mut self, name: &str, label: &str, values: &[(&str, u128)]) -> &mut Self {
        for (kind, value) in values {
            self.sample(name, Some((label, kind)), *value);
        }
        self
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: u128) -> &mut Self {
        let Self { prefix, text } = self;
        match label {
            None => writeln!(text, "{prefix}_{name} {value}"),
            Some((label, kind)) => writeln!(text, "{prefix}_{name}{{{label}=\"{kind}\"}} {value}"),
        }
        .expect("strings take all");
        self
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn metrics_read_as_prometheus_text() {
        let mut metrics = Metrics::new("jobs");
        metrics
            .counter("events_total", 3, "Events in the log.")
            .gauges(
                "open",
                "state",
                &[("queued", 1), ("running", 0)],
                "Jobs that have not ended.",
            )
            .counters("calls_total", "method", &[("claim", 7)], "Calls.");
        expect![[r#"
            # HELP jobs_events_total Events in the log.
            # TYPE jobs_events_total counter
            jobs_events_total 3
            # HELP jobs_open Jobs that have not ended.
            # TYPE jobs_open gauge
            jobs_open{state="queued"} 1
            jobs_open{state="running"} 0
            # HELP jobs_calls_total Calls.
            # TYPE jobs_calls_total counter
            jobs_calls_total{method="claim"} 7
        "#]]
        .assert_eq(&metrics.finish());
    }
}
