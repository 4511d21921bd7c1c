//! Draws measured rates of capture beside their bounds, as SVG.

use std::fmt::Write as _;

use crate::capture::{ASSURANCES, Capture, RINGS};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLORS: [&str; 4] = ["#2563eb", "#059669", "#d97706", "#dc2626"];

/// The share of colluding providers across, the share of captured jobs up: lines are bounds, points are measured.
pub fn plot(captures: &[Capture]) -> String {
    let highest = captures
        .iter()
        .map(|c| c.bound.max(c.rate))
        .fold(0.01, f64::max);
    let most_percent = (highest * 100.0 / 5.0).ceil() * 5.0;
    let most_ring = f64::from(RINGS[RINGS.len() - 1]) + 2.0;
    let x = |ring: f64| LEFT + ring / most_ring * (WIDTH - LEFT - RIGHT);
    let y = |rate: f64| HEIGHT - BOTTOM - rate * 100.0 / most_percent * (HEIGHT - TOP - BOTTOM);
    let mut body = String::new();
    let (bottom, end) = (y(0.0), x(most_ring));
    let mut percent = 0.0;
    while percent <= most_percent {
        let line = y(percent / 100.0);
        let _ = writeln!(
            body,
            "<line x1=\"{LEFT}\" y1=\"{line:.1}\" x2=\"{end:.1}\" y2=\"{line:.1}\" stroke=\"#e5e7eb\"/>\
             <text x=\"{tick}\" y=\"{text:.1}\" text-anchor=\"end\">{percent} %</text>",
            tick = LEFT - 6.0,
            text = line + 4.0,
        );
        percent += 5.0;
    }
    for ring in RINGS {
        let _ = writeln!(
            body,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{ring} %</text>",
            x(ring.into()),
            bottom + 18.0
        );
    }
    let _ = writeln!(
        body,
        "<text x=\"{LEFT}\" y=\"22\" font-weight=\"bold\">wrong answers verified, by share of colluding providers</text>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">providers that collude; lines: exact bound, points: measured</text>",
        (LEFT + end) / 2.0,
        HEIGHT - 10.0
    );
    for (i, ((name, _), color)) in ASSURANCES.into_iter().zip(COLORS).enumerate() {
        let series = || captures.iter().filter(|capture| capture.assurance == name);
        let points: Vec<String> = series()
            .map(|c| format!("{:.1},{:.1}", x(c.ring_percent.into()), y(c.bound)))
            .collect();
        let _ = writeln!(
            body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>",
            points.join(" ")
        );
        for c in series() {
            let _ = writeln!(
                body,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{color}\"><title>{name}, {} %: {} of {} jobs</title></circle>",
                x(c.ring_percent.into()),
                y(c.rate),
                c.ring_percent,
                c.captured,
                c.jobs
            );
        }
        let row = TOP + 20.0 * i as f64;
        let _ = writeln!(
            body,
            "<circle cx=\"{:.1}\" cy=\"{row:.1}\" r=\"4\" fill=\"{color}\"/><text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            end + 16.0,
            end + 26.0,
            row + 4.0
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n{body}</svg>\n"
    )
}
