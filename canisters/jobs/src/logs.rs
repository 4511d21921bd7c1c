//! The log lines of this canister, which everybody may read at `/logs`: no prompt, answer or secret may come here.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use assay_canister_kit::{Level, Logs};

use crate::now;

thread_local! {
    static VOLATILE_LOGS: RefCell<Logs> = RefCell::default();
}

/// What was done as it should be.
pub(crate) fn info(text: impl fmt::Display) {
    add(Level::Info, text);
}

/// What went wrong and is tried again.
pub(crate) fn warn(text: impl fmt::Display) {
    add(Level::Warn, text);
}

/// What wants a human.
pub(crate) fn error(text: impl fmt::Display) {
    add(Level::Error, text);
}

/// All lines, the newest last.
pub(crate) fn text() -> String {
    VOLATILE_LOGS.with_borrow(Logs::text)
}

fn add(level: Level, text: impl fmt::Display) {
    VOLATILE_LOGS.with_borrow_mut(|logs| logs.add(now(), level, text));
}

/// A trouble that lasts: told when it begins and when it ends, not every time that it is met.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Cell<bool>);

impl Trouble {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(false))
    }

    /// Notes whether it is there; true where that is new.
    pub(crate) fn turned(&self, there: bool) -> bool {
        self.0.replace(there) != there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_at_its_beginning_and_at_its_end() {
        let trouble = Trouble::new();
        let told = [false, true, true, false, false, true].map(|there| trouble.turned(there));
        assert_eq!(told, [false, true, false, true, false, true]);
    }
}
