//! For tests only: saying loudly that something could not be shown here.

use std::io::Write as _;

/// Tells on stderr that the running test shows nothing, past the capture of test output.
pub(crate) fn not_run(why: &str) {
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    // Nothing else can be done where stderr is gone.
    let _ = writeln!(std::io::stderr(), "not run: {test}: {why}");
}
