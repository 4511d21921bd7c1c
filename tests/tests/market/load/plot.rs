//! Draws what each kind of work costs against the number of jobs there have been, as SVG.

use std::fmt::Write as _;

use super::growth::Costs;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 52.0;
const LINES: f64 = 5.0;
const COLORS: [&str; 6] = [
    "#2563eb", "#059669", "#d97706", "#dc2626", "#7c3aed", "#4b5563",
];
/// The work of a job's life; the rest is in the table.
const SHOWN: [&str; 6] = ["submit", "match", "claim", "commit", "transcript", "reveal"];

/// Jobs across, on a logarithmic scale; millions of instructions up.
pub(super) fn plot(all: &[Costs]) -> String {
    let series = |name: &str| -> Vec<(f64, f64)> {
        let point = |costs: &Costs| (costs.jobs as f64, costs.work[name] as f64 / 1e6);
        all.iter().map(point).collect()
    };
    let highest = SHOWN
        .iter()
        .flat_map(|name| series(name))
        .map(|(_, cost)| cost)
        .fold(1.0, f64::max);
    let top = (highest / LINES).ceil() * LINES;
    let (fewest, most) = (all[0].jobs as f64, all[all.len() - 1].jobs as f64);
    let decades = (most / fewest).log10().max(1.0);
    let x = |jobs: f64| LEFT + (jobs / fewest).log10() / decades * (WIDTH - LEFT - RIGHT);
    let y = |cost: f64| HEIGHT - BOTTOM - cost / top * (HEIGHT - TOP - BOTTOM);
    let end = WIDTH - RIGHT;
    let mut body = String::new();
    for line in 0..=LINES as u32 {
        let cost = top * f64::from(line) / LINES;
        let _ = writeln!(
            body,
            "<line x1=\"{LEFT}\" y1=\"{0:.1}\" x2=\"{end:.1}\" y2=\"{0:.1}\" stroke=\"#e5e7eb\"/>\
             <text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{cost:.0}</text>",
            y(cost),
            LEFT - 6.0,
            y(cost) + 4.0,
        );
    }
    for costs in all {
        let _ = writeln!(
            body,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(costs.jobs as f64),
            y(0.0) + 18.0,
            costs.jobs
        );
    }
    let _ = writeln!(
        body,
        "<text x=\"{LEFT}\" y=\"22\" font-weight=\"bold\">millions of instructions, by jobs settled before</text>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">jobs, logarithmic</text>",
        (LEFT + end) / 2.0,
        HEIGHT - 10.0
    );
    for (name, color) in SHOWN.into_iter().zip(COLORS) {
        let points: Vec<(f64, f64)> = series(name)
            .into_iter()
            .map(|(jobs, cost)| (x(jobs), y(cost)))
            .collect();
        let line: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>",
            line.join(" ")
        );
        for (x, y) in &points {
            let _ = writeln!(
                body,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
            );
        }
        if let Some((x, y)) = points.last() {
            let _ = writeln!(
                body,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{color}\">{name}</text>",
                x + 8.0,
                y + 4.0
            );
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n{body}</svg>\n"
    )
}
