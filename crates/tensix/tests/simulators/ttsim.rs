//! On ttsim: the same, and what only a fast simulator can do. Each test has a process of its own, since the library exists once in
//! one, and ends it on anything that the chip does not define.

use std::process::Command;
use std::time::Duration;

use assay_engine::kat;
use assay_tensix::multiplier::Multiplier;
use assay_tensix::ttsim::{VARIABLE, open};

use crate::named;
use crate::products::{Values, check};

const DEADLINE: Duration = Duration::from_secs(300);
/// Says which test the child is to run itself.
const CHILD: &str = "ASSAY_TTSIM_CHILD";

/// Runs the body in a child process, or in this one if it is the child.
fn alone(test: &str, body: impl FnOnce(Multiplier)) {
    let Some(library) = named(VARIABLE) else {
        return;
    };
    if std::env::var_os(CHILD).is_some_and(|child| child == test) {
        let noc = Box::new(open(&library).unwrap());
        return body(Multiplier::open(noc, DEADLINE).unwrap());
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&format!("ttsim::{test}"), "--exact", "--nocapture"])
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

#[test]
fn ttsim_products_are_exact() {
    alone("ttsim_products_are_exact", |mut multiplier| {
        for shape in [(1, 1, 1), (32, 128, 32), (65, 130, 9), (150, 70, 2)] {
            check(&mut multiplier, shape, Values::Any);
            check(&mut multiplier, shape, Values::Narrow);
            check(&mut multiplier, shape, Values::Extreme);
        }
    });
}

#[test]
fn ttsim_decode_and_prefill_over_all_tiles_are_exact() {
    alone(
        "ttsim_decode_and_prefill_over_all_tiles_are_exact",
        |mut multiplier| {
            assert_eq!(multiplier.device().tiles().len(), 80);
            // More columns than tiles; then more tokens than one pass, with all of Dst in use.
            check(&mut multiplier, (5_300, 1_024, 1), Values::Any);
            check(&mut multiplier, (640, 640, 70), Values::Any);
        },
    );
}

#[test]
fn ttsim_passes_the_known_answers() {
    alone("ttsim_passes_the_known_answers", |mut multiplier| {
        kat::run_accelerator(&mut multiplier).unwrap();
    });
}

#[test]
fn ttsim_exists_once_in_a_process() {
    alone("ttsim_exists_once_in_a_process", |multiplier| {
        let library = named(VARIABLE).unwrap();
        let error = open(&library).unwrap_err().to_string();
        assert!(
            error.contains("this process has had a simulator"),
            "{error}"
        );
        drop(multiplier);
    });
}

#[test]
fn a_library_that_is_not_there_is_named() {
    let error = open("/nowhere/libttsim.so".as_ref()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/libttsim.so: not found; let ASSAY_TTSIM name a simulator library for Wormhole"
    );
}

#[test]
fn a_file_that_is_no_library_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open(file.path().as_os_str()).unwrap_err().to_string();
    assert!(error.contains("cannot load it"), "{error}");
}
