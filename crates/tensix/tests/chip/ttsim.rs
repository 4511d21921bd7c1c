//! On ttsim: the same, and what only a fast simulator can do. Each test has a process of its own, since the library exists once in
//! one, and ends it on anything that the chip does not define.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use assay_engine::kat;
use assay_tensix::multiplier::Multiplier;
use assay_tensix::ttsim::{VARIABLE, open};

use crate::products::{Values, check};

const DEADLINE: Duration = Duration::from_secs(300);
pub(crate) const CASES: &[crate::Case] = crate::cases!(VARIABLE;
    products_are_exact,
    decode_and_prefill_over_all_tiles_are_exact,
    passes_the_known_answers,
    exists_once_in_a_process,
);

/// Says which test the child is to run itself.
const CHILD: &str = "ASSAY_TTSIM_CHILD";

/// Runs the body in a child process, or in this one if it is the child.
fn alone(library: &OsString, test: &str, body: impl FnOnce(Multiplier)) {
    if std::env::var_os(CHILD).is_some_and(|child| child == test) {
        let noc = Box::new(open(library).unwrap());
        return body(Multiplier::open(noc, DEADLINE).unwrap());
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
    alone(library, "products_are_exact", |mut multiplier| {
        for shape in [(1, 1, 1), (32, 128, 32), (65, 130, 9), (150, 70, 2)] {
            check(&mut multiplier, shape, Values::Any);
            check(&mut multiplier, shape, Values::Narrow);
            check(&mut multiplier, shape, Values::Extreme);
        }
    });
}

fn decode_and_prefill_over_all_tiles_are_exact(library: &OsString) {
    alone(
        library,
        "decode_and_prefill_over_all_tiles_are_exact",
        |mut multiplier| {
            assert_eq!(multiplier.device().tiles().len(), 80);
            // More columns than tiles; then more tokens than one pass, with all of Dst in use.
            check(&mut multiplier, (5_300, 1_024, 1), Values::Any);
            check(&mut multiplier, (640, 640, 70), Values::Any);
        },
    );
}

fn passes_the_known_answers(library: &OsString) {
    alone(library, "passes_the_known_answers", |mut multiplier| {
        kat::run_accelerator(&mut multiplier).unwrap();
    });
}

fn exists_once_in_a_process(library: &OsString) {
    alone(library, "exists_once_in_a_process", |multiplier| {
        let error = open(library).unwrap_err().to_string();
        assert!(
            error.contains("this process has had a simulator"),
            "{error}"
        );
        drop(multiplier);
    });
}
