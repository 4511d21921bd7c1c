//! One canister between messages.
//!
//! Everything here is plain data. Executing, sending and answering happen elsewhere; they change a canister only
//! when they have succeeded.
//!
//! Invariants: each open callback belongs to a call context and is counted in `open_calls`; a stopped canister has no
//! call context.

mod calls;
mod changes;
mod consumed;
mod log;
mod low_memory;
mod settings;
mod snapshots;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use candid::Principal;
use serde::{Deserialize, Serialize};

pub(crate) use calls::{CallContext, Callback, Input, Origin, Request, Response, TaskKind};
pub(crate) use changes::Changes;
pub(crate) use consumed::Consumed;
pub(crate) use log::CanisterLog;
pub use log::LogLine;
pub(crate) use low_memory::LowMemory;
pub(crate) use settings::{Settings, SettingsError};
pub(crate) use snapshots::{ModuleBytes, Snapshot, SnapshotId, Snapshots, Source, Timer};

use crate::{
    limits,
    mem::{Heap, Stable},
    network::RunState,
    sysapi::{Facts, SubnetFacts},
    types::Time,
    wasm::Compiled,
};

/// A canister's id.
pub(crate) type CanisterId = Principal;

/// The value of a mutable global between messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum GlobalValue {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128(u128),
}

/// An installed module with the state that belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    /// The module.
    pub(crate) module: Arc<Compiled>,
    /// Wasm memory.
    pub(crate) heap: Heap,
    /// Mutable globals, in the module's order.
    pub(crate) globals: Vec<GlobalValue>,
}

/// Somebody who waits for a canister to stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StopWaiter {
    /// Whom to tell.
    pub(crate) origin: Origin,
    /// Cycles that came with the call.
    pub(crate) cycles: u128,
    /// When to give up.
    pub(crate) until: Time,
}

/// What queries have asked of a canister.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueryCounts {
    /// How many were answered or refused.
    pub(crate) calls: u64,
    /// What they executed.
    pub(crate) instructions: u64,
    /// Bytes of their arguments.
    pub(crate) request_bytes: u64,
    /// Bytes of replies and reject messages.
    pub(crate) response_bytes: u64,
}

impl QueryCounts {
    /// Adds a query that was answered or refused.
    pub(crate) fn count(&mut self, instructions: u64, request: usize, response: usize) {
        self.calls += 1;
        self.instructions = self.instructions.saturating_add(instructions);
        self.request_bytes += request as u64;
        self.response_bytes += response as u64;
    }
}

/// Bytes that the parts of a canister hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryUse {
    pub(crate) heap: u64,
    pub(crate) stable: u64,
    pub(crate) globals: u64,
    pub(crate) module: u64,
    pub(crate) sections: u64,
    pub(crate) changes: u64,
    pub(crate) chunks: u64,
    pub(crate) snapshots: u64,
    pub(crate) log: u64,
}

impl MemoryUse {
    /// All parts together.
    pub(crate) fn total(&self) -> u64 {
        let Self {
            heap,
            stable,
            globals,
            module,
            sections,
            changes,
            chunks,
            snapshots,
            log,
        } = self;
        heap + stable + globals + module + sections + changes + chunks + snapshots + log
    }
}

/// A canister.
#[derive(Debug)]
pub(crate) struct Canister {
    pub(crate) id: CanisterId,
    /// The subnet that it lives on.
    pub(crate) home: Arc<SubnetFacts>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) balance: u128,
    /// Cycles that are set aside for memory; they are used up before the balance.
    pub(crate) reserved: u128,
    /// Up to when memory and processors are paid for.
    pub(crate) charged: Time,
    pub(crate) state: RunState,
    pub(crate) stop_waiters: Vec<StopWaiter>,
    /// Grows with every change of code, settings, state or memory.
    pub(crate) version: u64,
    pub(crate) created: Time,
    pub(crate) installed: Option<Time>,
    pub(crate) code: Option<Code>,
    /// The module of the installed code, as it was sent; empty where there is none.
    pub(crate) module: ModuleBytes,
    pub(crate) stable: Stable,
    pub(crate) certified_data: Vec<u8>,
    /// When the global timer fires.
    pub(crate) timer: Option<Time>,
    /// Whether its heap is nearly full.
    pub(crate) low_memory: LowMemory,
    pub(crate) contexts: BTreeMap<u64, CallContext>,
    pub(crate) callbacks: BTreeMap<u64, Callback>,
    pub(crate) next_number: u64,
    /// Open calls by callee; never zero.
    pub(crate) open_calls: BTreeMap<CanisterId, usize>,
    pub(crate) inbox: VecDeque<Input>,
    pub(crate) log: CanisterLog,
    pub(crate) chunks: BTreeMap<[u8; 32], Vec<u8>>,
    pub(crate) changes: Changes,
    pub(crate) snapshots: Snapshots,
    pub(crate) queries: QueryCounts,
    pub(crate) consumed: Consumed,
}

impl Canister {
    /// A canister without code.
    pub(crate) fn new(
        id: CanisterId,
        home: Arc<SubnetFacts>,
        settings: Settings,
        balance: u128,
        created: Time,
    ) -> Self {
        Self {
            id,
            home,
            settings: Arc::new(settings),
            balance,
            reserved: 0,
            charged: created,
            state: RunState::Running,
            stop_waiters: Vec::new(),
            version: 0,
            created,
            installed: None,
            code: None,
            module: ModuleBytes::default(),
            stable: Stable::default(),
            certified_data: Vec::new(),
            timer: None,
            low_memory: LowMemory::default(),
            contexts: BTreeMap::new(),
            callbacks: BTreeMap::new(),
            next_number: 0,
            open_calls: BTreeMap::new(),
            inbox: VecDeque::new(),
            log: CanisterLog::default(),
            chunks: BTreeMap::new(),
            changes: Changes::default(),
            snapshots: Snapshots::default(),
            queries: QueryCounts::default(),
            consumed: Consumed::default(),
        }
    }

    /// A number that this canister has not used before.
    pub(crate) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Bytes that each part of it holds.
    pub(crate) fn memory(&self) -> MemoryUse {
        let code = self.code.as_ref();
        MemoryUse {
            heap: code.map_or(0, |code| code.heap.len() as u64),
            stable: self.stable.wasm_pages() * limits::WASM_PAGE_BYTES as u64,
            globals: code.map_or(0, |code| (code.globals.len() * size_of::<u64>()) as u64),
            module: code.map_or(0, |code| code.module.info.len as u64),
            sections: code.map_or(0, |code| {
                let sections = code.module.info.metadata.iter();
                sections
                    .map(|section| (section.name.len() + section.content.len()) as u64)
                    .sum()
            }),
            changes: self.changes.bytes() as u64,
            // Each chunk is accounted with the longest one's length.
            chunks: (self.chunks.len() * limits::CHUNK_BYTES_MAX) as u64,
            snapshots: self.snapshots.bytes(),
            log: self.log.bytes() as u64,
        }
    }

    /// Bytes that it holds, all together.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory().total()
    }

    /// Whether somebody controls it.
    pub(crate) fn is_controlled_by(&self, caller: &Principal) -> bool {
        self.settings.controllers.contains(caller)
    }

    /// Whether its memory is 64 bits wide, which makes instructions dearer.
    pub(crate) fn wide(&self) -> bool {
        self.code.as_ref().is_some_and(|code| code.module.info.wide)
    }

    /// Bytes that it pays for: what it holds, or what is kept for it where that is more.
    pub(crate) fn paid_bytes(&self) -> u64 {
        self.memory_bytes().max(self.settings.memory_allocation)
    }

    /// Cycles that it costs in a day in which it does nothing.
    pub(crate) fn idle_day(&self) -> u128 {
        self.home
            .prices
            .idle_day(self.paid_bytes(), self.settings.compute_allocation)
    }

    /// Cycles that it may not spend, so that it can do nothing for a while.
    pub(crate) fn frozen(&self) -> u128 {
        self.frozen_holding(self.memory_bytes())
    }

    /// Cycles that it may not spend once it holds so many bytes.
    pub(crate) fn frozen_holding(&self, bytes: u64) -> u128 {
        self.home
            .prices
            .freezing(
                bytes.max(self.settings.memory_allocation),
                self.settings.compute_allocation,
                self.settings.freezing_threshold,
            )
            .saturating_sub(self.reserved)
    }

    /// Takes what being there costs; false, and nothing taken, where it has too little.
    pub(crate) fn take_idle(&mut self, cost: u128) -> bool {
        if cost > self.reserved.saturating_add(self.balance) {
            return false;
        }
        let reserved = cost.min(self.reserved);
        self.reserved -= reserved;
        self.balance -= cost - reserved;
        true
    }

    /// What its longest message costs.
    pub(crate) fn longest_execution(&self) -> u128 {
        self.home
            .prices
            .execution(self.home.instructions.update, self.wide())
    }

    /// Cycles that it may spend.
    pub(crate) fn liquid(&self) -> u128 {
        self.balance.saturating_sub(self.frozen())
    }

    /// What its code is told about it during a message.
    pub(crate) fn facts(&self, time: Time) -> Facts {
        Facts {
            canister: self.id,
            settings: Arc::clone(&self.settings),
            status: match self.state {
                RunState::Running => 1,
                RunState::Stopping => 2,
                RunState::Stopped => 3,
            },
            version: self.version,
            time,
            frozen: self.frozen(),
            held: self.memory_bytes(),
            reserved: self.reserved,
            open_calls: self.open_calls.clone(),
            wide: self.wide(),
            subnet: Arc::clone(&self.home),
        }
    }

    /// Removes a callback that has run or will never run, and its place in the count.
    pub(crate) fn take_callback(&mut self, number: u64) -> Option<Callback> {
        let callback = self.callbacks.remove(&number)?;
        if let Some(open) = self.open_calls.get_mut(&callback.callee) {
            *open -= 1;
            if *open == 0 {
                self.open_calls.remove(&callback.callee);
            }
        }
        if let Some(context) = self.contexts.get_mut(&callback.context) {
            context.open_calls -= 1;
        }
        Some(callback)
    }

    /// Remembers a callback; gives its number.
    pub(crate) fn add_callback(&mut self, callback: Callback) -> u64 {
        let number = self.number();
        *self.open_calls.entry(callback.callee).or_default() += 1;
        if let Some(context) = self.contexts.get_mut(&callback.context) {
            context.open_calls += 1;
        }
        self.callbacks.insert(number, callback);
        number
    }
}
