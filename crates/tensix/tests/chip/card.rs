//! On a card: the same as on simulators, by the same names.

use std::ffi::OsString;

use assay_tensix::noc::Noc;

use crate::cases::{Case, cases};
use crate::products;

pub(crate) const CASES: &[Case] = cases!(&["ASSAY_WORMHOLE"];
    products_are_exact,
    decode_and_prefill_over_all_tiles_are_exact,
    passes_the_known_answers,
);

#[cfg(target_os = "linux")]
fn open(index: &OsString) -> Box<dyn Noc> {
    let index = index.to_str().unwrap().parse().unwrap();
    assay_tensix::kmd::open(index).unwrap()
}

#[cfg(not(target_os = "linux"))]
fn open(_: &OsString) -> Box<dyn Noc> {
    panic!("cards have a driver on Linux only")
}

fn products_are_exact(index: &OsString) {
    products::ordinary(open(index));
}

fn decode_and_prefill_over_all_tiles_are_exact(index: &OsString) {
    products::over_all_tiles(open(index));
}

fn passes_the_known_answers(index: &OsString) {
    products::known_answers(open(index));
}
