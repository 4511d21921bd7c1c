//! `engine kat`: the known answers of the semantics, by everything that this machine can compute with.

use assay_engine::{forward::Kernels, kat};

use crate::{Failure, exit, show::out};

/// One line for each kind of kernels; fails if any is wrong.
pub(super) fn run() -> Result<u8, Failure> {
    let answers = kat::ANSWERS.lines().count();
    let mut code = exit::OK;
    for kernels in Kernels::available() {
        match kat::run(kernels) {
            Ok(()) => out(format_args!("ok    {kernels:?}  {answers} known answers")),
            Err(failure) => {
                out(format_args!("fail  {kernels:?}  {failure}"));
                code = exit::FAILED;
            }
        }
    }
    Ok(code)
}
