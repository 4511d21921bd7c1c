//! The child's protocol, with drivers that need no package; the simulator itself is in `tests/wolfpine.rs`.

use super::*;

/// The system's interpreter, or None with a word about it.
fn python() -> Option<&'static OsStr> {
    let works = |name: &&str| {
        Command::new(name)
            .args(["-c", "0"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let found = ["python3", "python"].into_iter().find(works);
    if found.is_none() {
        crate::testing::not_run("this system has no Python");
    }
    found.map(OsStr::new)
}

fn failure(driver: &str) -> Option<String> {
    let started = Wolfpine::start_driver(python()?, driver, 1);
    Some(started.expect_err("no simulator").to_string())
}

#[test]
fn a_missing_interpreter_is_named_with_what_to_do() {
    let error = Wolfpine::start(OsStr::new("/nowhere/python"), 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/python: not found; let ASSAY_WOLFPINE_PYTHON name a Python with the packages of wolfpine/requirements.txt"
    );
}

#[test]
fn an_interpreter_without_the_packages_says_so() {
    let Some(error) = failure(DRIVER) else { return };
    assert!(
        error.contains("ModuleNotFoundError") || error.contains("PackageNotFoundError"),
        "{error}"
    );
}

#[test]
fn a_child_that_ends_or_babbles_is_an_error() {
    let Some(ended) = failure("") else { return };
    // Whether the question or the answer fails first is a matter of time.
    assert!(
        ended.starts_with("wolfpine: cannot ask the child")
            || ended.starts_with("wolfpine: cannot read the child's answer"),
        "{ended}"
    );
    let babbled = failure("print('x' * 100, flush=True); import sys; sys.stdin.read()");
    assert_eq!(
        babbled.as_deref(),
        Some("wolfpine: cannot read the child's answer: no frame of the driver")
    );
}
