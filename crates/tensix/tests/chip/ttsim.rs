//! On ttsim: what a fast simulator can do. Each test has a process of its own, since the library exists once in one, and ends it on
//! anything that the chip does not define.

use std::ffi::OsString;
use std::process::Command;

use assay_tensix::noc::{Noc, NocError, Tile};
use assay_tensix::ttsim::{VARIABLE, open};

use crate::products::{self, Values, check, multiplier};

pub(crate) const CASES: &[crate::Case] = crate::cases!(VARIABLE;
    products_are_exact,
    decode_and_prefill_over_all_tiles_are_exact,
    passes_the_known_answers,
    wide_products_on_few_tiles_are_cut_and_exact,
    exists_once_in_a_process,
);

/// Says which test the child is to run itself.
const CHILD: &str = "ASSAY_TTSIM_CHILD";

/// Runs the body in a child process, or in this one if it is the child.
fn alone(library: &OsString, test: &str, body: impl FnOnce(Box<dyn Noc>)) {
    if std::env::var_os(CHILD).is_some_and(|child| child == test) {
        return body(Box::new(open(library).unwrap()));
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("chip::ttsim::{test}"), "--exact"])
        .env(CHILD, test)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
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
