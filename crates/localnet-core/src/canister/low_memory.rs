//! Whether a canister's heap is nearly full, and whether its code has been told.

use super::{Canister, Input, TaskKind};
use serde::{Deserialize, Serialize};

/// Where a canister stands with `canister_on_low_wasm_memory`, which runs once each time the memory that is left
/// falls below the threshold in its settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LowMemory {
    /// There is enough left.
    #[default]
    Enough,
    /// There is not, and the function is to run.
    Due,
    /// There is not, and the function has run.
    Told,
}

impl Canister {
    /// Looks at the heap after anything that may have changed it, or its limits; true where the function waits to run.
    pub(crate) fn watch_memory(&mut self) -> bool {
        let (low, exported) = match &self.code {
            Some(code) => {
                let own = self.settings.wasm_memory_limit;
                let hard = code.module.info.heap_max();
                let max = if own == 0 { hard } else { own.min(hard) };
                // The limit does not bind every message, so the heap may be past it.
                let wanted =
                    (code.heap.len() as u64).saturating_add(self.settings.wasm_memory_threshold);
                (max < wanted, code.module.info.exports.low_memory)
            }
            None => (false, false),
        };
        self.low_memory = match (low, self.low_memory) {
            (false, _) => LowMemory::Enough,
            (true, LowMemory::Enough) => LowMemory::Due,
            (true, before) => before,
        };
        let due = exported && self.low_memory == LowMemory::Due;
        let task = Input::Task(TaskKind::LowMemory);
        if due && !self.inbox.contains(&task) {
            self.inbox.push_front(task);
        }
        due
    }
}
