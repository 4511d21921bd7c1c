//! On wolfpine: small shapes, since Python simulates every cycle.

use std::ffi::OsString;

use assay_tensix::noc::Noc;
use assay_tensix::wolfpine::{VARIABLE, Wolfpine};

use crate::cases::{Case, cases};
use crate::faults;
use crate::products::{Values, check, multiplier};

pub(crate) const CASES: &[Case] = cases!(&[VARIABLE];
    products_are_exact,
    tiles_share_a_product_and_the_ring_turns,
    minus_one_hundred_and_twenty_eight_never_reaches_the_chip,
    a_job_out_of_range_is_refused_by_the_programs,
    a_job_that_never_ends_meets_its_deadline_and_leaves_its_cores_in_reset,
    a_reset_in_the_middle_of_a_job_is_told,
);

fn start(python: &OsString, workers: usize) -> Box<dyn Noc> {
    Box::new(Wolfpine::start(python, workers).unwrap())
}

fn products_are_exact(python: &OsString) {
    let mut multiplier = multiplier(start(python, 1));
    for shape in [(1, 1, 1), (16, 16, 2), (32, 64, 3), (32, 128, 32)] {
        check(&mut multiplier, shape, Values::Any);
    }
    check(&mut multiplier, (65, 130, 9), Values::Any);
    check(&mut multiplier, (20, 100, 2), Values::Narrow);
    check(&mut multiplier, (20, 100, 2), Values::Extreme);
}

fn tiles_share_a_product_and_the_ring_turns(python: &OsString) {
    let mut multiplier = multiplier(start(python, 3));
    // Three columns of 64 outputs in three channels.
    check(&mut multiplier, (150, 70, 2), Values::Any);
    // 35 steps along K: two whole slots and a part, in both turns of the ring.
    check(&mut multiplier, (3, 35 * 64, 1), Values::Any);
}

fn minus_one_hundred_and_twenty_eight_never_reaches_the_chip(python: &OsString) {
    faults::minus_one_hundred_and_twenty_eight(start(python, 1));
}

fn a_job_out_of_range_is_refused_by_the_programs(python: &OsString) {
    faults::out_of_range(start(python, 1));
}

fn a_job_that_never_ends_meets_its_deadline_and_leaves_its_cores_in_reset(python: &OsString) {
    faults::endless(start(python, 1));
}

fn a_reset_in_the_middle_of_a_job_is_told(python: &OsString) {
    faults::reset_meanwhile(start(python, 1));
}
