//! What needs no simulator; the rest is in `tests/chip`.

use super::*;

#[test]
fn a_missing_interpreter_is_named_with_what_to_do() {
    let error = Wolfpine::start(OsStr::new("/nowhere/python"), 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/python: not found; let ASSAY_WOLFPINE_PYTHON name a Python with the packages of wolfpine/requirements.txt"
    );
}

/// What a chip says whose interpreter is this script.
#[cfg(unix)]
fn failure(script: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("python");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    let started = Wolfpine::start(path.as_os_str(), 1);
    started.expect_err("no simulator").to_string()
}

#[cfg(unix)]
#[test]
fn a_child_that_ends_is_an_error() {
    let error = failure("exit 0");
    assert!(
        error.starts_with("wolfpine: cannot read the child's answer"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn a_child_that_babbles_is_an_error() {
    assert_eq!(
        failure("echo what is this that I am saying; cat >/dev/null"),
        "wolfpine: cannot read the child's answer: no frame of the driver"
    );
}

#[cfg(unix)]
#[test]
fn what_the_driver_refuses_is_told() {
    // A frame with status 1 and eleven bytes.
    let error = failure(r"printf '\001\000\000\000\013\000\000\000version 2.3'; cat >/dev/null");
    assert_eq!(
        error,
        "wolfpine: version 2.3; the corrections in this crate are for another version"
    );
}
