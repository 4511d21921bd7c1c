//! The log lines of this canister, which everybody may read at `/logs`.

use std::{cell::RefCell, fmt};

use assay_canister_kit::{Level, Logs};

use crate::moment;

thread_local! {
    static VOLATILE_LOGS: RefCell<Logs> = RefCell::default();
}

/// What was done as it should be.
pub(crate) fn info(text: impl fmt::Display) {
    let now = moment().now;
    VOLATILE_LOGS.with_borrow_mut(|logs| logs.add(now, Level::Info, text));
}

/// All lines, the newest last.
pub(crate) fn text() -> String {
    VOLATILE_LOGS.with_borrow(Logs::text)
}
