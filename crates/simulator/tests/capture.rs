//! What a ring of colluding providers gets, against the exact bound for distinct providers drawn at random.

use assay_simulator::{
    capture::{self, Capture},
    margin, plot,
};

/// Jobs of each assurance and size of ring.
const JOBS: u64 = 200;

#[test]
fn rings_get_no_more_than_their_chance() {
    let captures = capture::measure(1, JOBS, |_| {}).unwrap_or_else(|failure| panic!("{failure}"));
    let cells = capture::ASSURANCES.len() * capture::RINGS.len();
    assert_eq!(captures.len(), cells);
    for capture in &captures {
        capture.check().unwrap_or_else(|high| panic!("{high}"));
    }
    // All together say more than each alone. What the market learns about a ring lowers its rate a little.
    let jobs: u64 = captures.iter().map(|capture| capture.jobs).sum();
    let captured: u64 = captures.iter().map(|capture| capture.captured).sum();
    let expected = captures
        .iter()
        .map(|c| c.bound * c.jobs as f64)
        .sum::<f64>()
        / jobs as f64;
    let rate = captured as f64 / jobs as f64;
    assert!(
        rate <= expected + margin(expected, jobs),
        "{rate} of {expected}"
    );
    assert!(
        rate >= expected / 2.0,
        "nothing is measured: {rate} of {expected}"
    );

    let all = Capture {
        captured: captures[0].jobs,
        rate: 1.0,
        ..captures[0].clone()
    };
    assert!(all.check().is_err());

    let svg = plot(&captures);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    // A point for each measurement, and one for each line of the legend.
    let points = svg.matches("<circle ").count();
    assert_eq!(points, cells + capture::ASSURANCES.len());
    assert_eq!(svg.matches("<polyline ").count(), capture::ASSURANCES.len());
}
