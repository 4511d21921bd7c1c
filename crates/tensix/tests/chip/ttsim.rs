//! On ttsim: what a fast simulator can do. Each test has a process of its own, since the library exists once in one, and ends it on
//! anything that the chip does not define.

use std::ffi::OsString;
use std::process::Command;

use assay_tensix::noc::{Noc, NocError, Tile};
use assay_tensix::ttsim::{VARIABLE, open};

use crate::cases::{Case, cases};
use crate::faults;
use crate::products::{self, Values, check, multiplier};

pub(crate) const CASES: &[Case] = cases!(&[VARIABLE];
    products_are_exact,
    decode_and_prefill_over_all_tiles_are_exact,
    passes_the_known_answers,
    wide_products_on_few_tiles_are_cut_and_exact,
    every_layer_shape_of_the_default_model_is_exact,
    minus_one_hundred_and_twenty_eight_never_reaches_the_chip,
    a_job_out_of_range_is_refused_by_the_programs,
    a_job_that_never_ends_meets_its_deadline_and_leaves_its_cores_in_reset,
    a_reset_in_the_middle_of_a_job_is_told,
    what_the_chip_does_not_define_ends_the_simulators_process,
    exists_once_in_a_process,
);

/// Says which test the child is to run itself.
const CHILD: &str = "ASSAY_TTSIM_CHILD";

/// Runs the body in a child process, or in this one if it is the child.
fn alone(library: &OsString, test: &str, body: impl FnOnce(Box<dyn Noc>)) {
    if std::env::var_os(CHILD).is_some_and(|child| child == test) {
        return body(Box::new(open(library).unwrap()));
    }
    let (success, said) = child(test);
    assert!(success && said.contains("1 passed"), "{said}");
}

/// Whether a test passed in a process of its own, and what it said.
fn child(test: &str) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("chip::ttsim::{test}"), "--exact"])
        .env(CHILD, test)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

fn products_are_exact(library: &OsString) {
    alone(library, "products_are_exact", products::ordinary);
}

fn decode_and_prefill_over_all_tiles_are_exact(library: &OsString) {
    let test = "decode_and_prefill_over_all_tiles_are_exact";
    alone(library, test, products::over_all_tiles);
}

fn passes_the_known_answers(library: &OsString) {
    let test = "passes_the_known_answers";
    alone(library, test, products::known_answers);
}

/// A chip that reports its first tiles only.
struct Few {
    inner: Box<dyn Noc>,
    tiles: usize,
}

impl Noc for Few {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn read(&mut self, tile: Tile, address: u64, bytes: &mut [u8]) -> Result<(), NocError> {
        self.inner.read(tile, address, bytes)
    }
    fn write(&mut self, tile: Tile, address: u64, bytes: &[u8]) -> Result<(), NocError> {
        self.inner.write(tile, address, bytes)
    }
    fn idle(&mut self) -> Result<(), NocError> {
        self.inner.idle()
    }
    fn workers(&mut self) -> Result<Vec<Tile>, NocError> {
        let mut tiles = self.inner.workers()?;
        tiles.truncate(self.tiles);
        Ok(tiles)
    }
    fn write_on_close(&mut self, tile: Tile, address: u64, value: u32) -> Result<(), NocError> {
        self.inner.write_on_close(tile, address, value)
    }
}

fn wide_products_on_few_tiles_are_cut_and_exact(library: &OsString) {
    let test = "wide_products_on_few_tiles_are_cut_and_exact";
    alone(library, test, |inner| {
        let mut multiplier = multiplier(Box::new(Few { inner, tiles: 2 }));
        // 64 tokens: more columns in a tile, and more steps along K, than one job takes.
        check(&mut multiplier, (2_700, 70, 64), Values::Any);
        check(&mut multiplier, (70, 12_000, 64), Values::Any);
        // Both at once, and not all of it full.
        check(&mut multiplier, (2_650, 6_000, 49), Values::Any);
    });
}

/// The matrices of SmolLM2-135M: for one token, and for a pass of many.
fn every_layer_shape_of_the_default_model_is_exact(library: &OsString) {
    alone(
        library,
        "every_layer_shape_of_the_default_model_is_exact",
        |noc| {
            let mut multiplier = multiplier(noc);
            for shape in [(576, 576), (192, 576), (1_536, 576), (576, 1_536)] {
                for tokens in [1, 33, 64] {
                    check(&mut multiplier, (shape.0, shape.1, tokens), Values::Any);
                }
            }
            check(&mut multiplier, (49_152, 576, 1), Values::Any);
        },
    );
}

fn minus_one_hundred_and_twenty_eight_never_reaches_the_chip(library: &OsString) {
    let test = "minus_one_hundred_and_twenty_eight_never_reaches_the_chip";
    alone(library, test, faults::minus_one_hundred_and_twenty_eight);
}

fn a_job_out_of_range_is_refused_by_the_programs(library: &OsString) {
    let test = "a_job_out_of_range_is_refused_by_the_programs";
    alone(library, test, faults::out_of_range);
}

fn a_job_that_never_ends_meets_its_deadline_and_leaves_its_cores_in_reset(library: &OsString) {
    let test = "a_job_that_never_ends_meets_its_deadline_and_leaves_its_cores_in_reset";
    alone(library, test, faults::endless);
}

fn a_reset_in_the_middle_of_a_job_is_told(library: &OsString) {
    let test = "a_reset_in_the_middle_of_a_job_is_told";
    alone(library, test, faults::reset_meanwhile);
}

/// Which is why a worker that serves never has it.
fn what_the_chip_does_not_define_ends_the_simulators_process(library: &OsString) {
    const TEST: &str = "what_the_chip_does_not_define_ends_the_simulators_process";
    if std::env::var_os(CHILD).is_some_and(|child| child == TEST) {
        let mut noc = open(library).unwrap();
        // A tile that no Wormhole has.
        let told = noc.read(Tile::new(12, 11), 0, &mut [0; 4]);
        panic!("still here: {told:?}");
    }
    let (status, said) = child(TEST);
    assert!(!status && !said.contains("still here"), "{said}");
}

fn exists_once_in_a_process(library: &OsString) {
    alone(library, "exists_once_in_a_process", |noc| {
        let error = open(library).unwrap_err().to_string();
        assert!(
            error.contains("this process has had a simulator"),
            "{error}"
        );
        drop(noc);
    });
}
