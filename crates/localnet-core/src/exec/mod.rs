//! Running canister code.
//!
//! Each message sees a fresh instance: memory and globals as the canister has them, everything else as the module
//! begins. To be fast, an instance that ran a canister's last message is kept and set back instead of made anew,
//! where the module cannot have changed anything but memory and globals.
//!
//! Invariant: a warm instance's memory and globals equal its canister's. Whoever changes a canister's code or heap
//! in another way must call [`Executor::forget`].

mod inspect;
mod install;
mod message;
mod query;
mod refusals;
mod routing;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, io, sync::Arc};

use wasmtime::{Engine, Global, Instance, Memory, Ref, Store, Table, Val};

pub(crate) use inspect::ingress_fee;
pub(crate) use install::{InstallMode, Installation};
pub(crate) use refusals::{affordable, no_method, not_found};

use crate::{
    canister::{CanisterId, Code, GlobalValue},
    limits,
    mem::{Changes, Regions, Tracked},
    sysapi::{DIRTY_PAGE, Fault, Host, Message, Mode, TableCall, WASM64_DIRTY_PAGE_FACTOR},
    wasm::{self, Compiled, Compiler, Instantiate as _},
};

/// Where execution begins.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// An exported function without parameters.
    Export(String),
    /// A function in the table that takes one pointer.
    Table(TableCall),
}

/// What happens to memory and globals after a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// They become the canister's.
    Changes,
    /// They are dropped.
    Nothing,
}

/// How an execution ended.
#[derive(Debug)]
pub(crate) struct Execution {
    /// Whether it succeeded.
    pub(crate) result: Result<(), Fault>,
    /// Instructions used.
    pub(crate) instructions: u64,
    /// The message with its effects; they count only after a success.
    pub(crate) message: Message,
}

/// Runs code, and keeps instances warm.
pub(crate) struct Executor {
    engine: Engine,
    regions: Option<Arc<Regions>>,
    warm: BTreeMap<CanisterId, Live>,
    runs: u64,
}

/// An instance with everything that is needed to set it back.
struct Live {
    store: Store<Host>,
    instance: Instance,
    memory: Option<Memory>,
    /// Knows which pages of the memory were written.
    tracked: Option<Tracked>,
    table: Option<Table>,
    globals: Vec<Global>,
    module: Arc<Compiled>,
    /// The run that used it last.
    used: u64,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("warm", &self.warm.len())
            .finish_non_exhaustive()
    }
}

impl Executor {
    /// An executor for what this compiler compiles.
    pub(crate) fn new(compiler: &Compiler) -> Self {
        Self {
            engine: compiler.engine().clone(),
            regions: compiler.regions().cloned(),
            warm: BTreeMap::new(),
            runs: 0,
        }
    }

    /// Drops the warm instance of a canister whose code or heap was changed by other means.
    pub(crate) fn forget(&mut self, canister: &CanisterId) {
        self.warm.remove(canister);
    }

    /// The state of a module before any of its code has run.
    pub(crate) fn fresh(&self, module: &Arc<Compiled>) -> Result<Code, Fault> {
        let mut code = Code {
            module: Arc::clone(module),
            heap: module.heap.clone(),
            globals: Vec::new(),
        };
        let mut live = self.live(&code)?;
        code.globals = live.globals();
        Ok(code)
    }

    /// Runs code. With a canister's id its warm instance is used, and kept; `code` must then be that canister's.
    pub(crate) fn run(
        &mut self,
        warm: Option<CanisterId>,
        code: &mut Code,
        entry: &Entry,
        keep: Keep,
        message: Message,
    ) -> Execution {
        self.runs += 1;
        let limit = message.limit;
        let live = match warm.and_then(|id| self.warm.remove(&id)) {
            Some(live) if Arc::ptr_eq(&live.module, &code.module) => Ok(live),
            _ => self.live(code),
        };
        let mut live = match live {
            Ok(live) => live,
            Err(fault) => {
                return Execution {
                    result: Err(fault),
                    instructions: 0,
                    message,
                };
            }
        };
        live.used = self.runs;
        let Execution {
            result,
            mut instructions,
            mut message,
        } = live.run(entry, message, limit);
        let clean = if keep == Keep::Changes || warm.is_some() {
            let changes = live.changes(code);
            if keep == Keep::Changes {
                let pages = live.dirty_pages(code, changes.as_ref());
                // Paid for, but no reason to fail.
                instructions = instructions.saturating_add(pages).min(limit);
            }
            if result.is_ok() && keep == Keep::Changes {
                live.commit(code, changes.as_ref())
            } else {
                live.restore(code, changes.as_ref())
            }
        } else {
            false
        };
        if let Some(id) = warm
            && clean
            && live.module.info.reusable
        {
            self.warm.insert(id, live);
            self.make_room();
        }
        match &result {
            Ok(()) => message.abandon_call(),
            Err(fault) => {
                if let Some(line) = fault.log_line() {
                    message.print(line.into_bytes());
                }
            }
        }
        Execution {
            result,
            instructions,
            message,
        }
    }

    fn make_room(&mut self) {
        let bytes =
            |warm: &BTreeMap<CanisterId, Live>| warm.values().map(Live::bytes).sum::<usize>();
        while self.warm.len() > limits::WARM_CANISTERS_MAX
            || (self.warm.len() > 1 && bytes(&self.warm) > limits::WARM_BYTES_MAX)
        {
            let Some(oldest) = self
                .warm
                .iter()
                .min_by_key(|(_, live)| live.used)
                .map(|(id, _)| *id)
            else {
                break;
            };
            self.warm.remove(&oldest);
        }
    }
}

impl Executor {
    /// An instance in the state that a canister is in.
    fn live(&self, code: &Code) -> Result<Live, Fault> {
        let mut store = Store::new(
            &self.engine,
            Host {
                heap_max: code.module.info.heap_max(),
                ..Host::default()
            },
        );
        store.limiter(|host| host);
        let failed = |error: wasmtime::Error| Fault::from_engine(error, 0);
        // Element segments are placed by the engine; nothing that is metered runs.
        store.set_fuel(u64::MAX).map_err(failed)?;
        let instance = code.module.instantiate(&mut store).map_err(failed)?;
        let memory = instance.get_memory(&mut store, wasm::MEMORY_EXPORT);
        let mut tracked = None;
        if let Some(memory) = memory {
            let missing = code.heap.pages().saturating_sub(memory.size(&store));
            if missing > 0 {
                memory.grow(&mut store, missing).map_err(failed)?;
            }
            let regions = self.regions.as_ref();
            tracked = regions
                .and_then(|regions| Tracked::filled(regions, &code.heap))
                .transpose()
                .map_err(|error| {
                    Fault::Engine(format!("cannot fill a canister's memory: {error}"))
                })?;
            if tracked.is_none() {
                code.heap.fill(memory.data_mut(&mut store));
            }
        }
        store.data_mut().memory = memory;
        let table = instance.get_table(&mut store, wasm::TABLE_EXPORT);
        let globals = code
            .module
            .info
            .globals
            .iter()
            .map(|name| {
                instance.get_global(&mut store, name).ok_or_else(|| {
                    Fault::Engine(format!("the rewritten module lacks its global {name}"))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let module = Arc::clone(&code.module);
        let mut live = Live {
            store,
            instance,
            memory,
            tracked,
            table,
            globals,
            module,
            used: 0,
        };
        if !code.globals.is_empty() {
            live.set_globals(&code.globals);
        }
        Ok(live)
    }
}

impl Live {
    fn bytes(&self) -> usize {
        self.memory
            .map_or(0, |memory| memory.data_size(&self.store))
    }

    fn run(&mut self, entry: &Entry, message: Message, limit: u64) -> Execution {
        let own_max = own_heap_max(&message);
        let host = self.store.data_mut();
        host.message = message;
        host.heap_own_max = own_max;
        let result = self
            .store
            .set_fuel(limit)
            .and_then(|()| self.call(entry))
            .map_err(|error| Fault::from_engine(error, limit));
        let left = self.store.get_fuel().unwrap_or(0);
        let instructions = match result {
            Err(Fault::Instructions { .. }) => limit,
            _ => limit.saturating_sub(left),
        };
        let host = self.store.data_mut();
        host.heap_own_max = None;
        Execution {
            result,
            instructions,
            message: std::mem::take(&mut host.message),
        }
    }

    fn call(&mut self, entry: &Entry) -> wasmtime::Result<()> {
        match entry {
            Entry::Export(name) => self
                .instance
                .get_typed_func::<(), ()>(&mut self.store, name)?
                .call(&mut self.store, ()),
            Entry::Table(TableCall { index, env }) => {
                let missing = || Fault::NoCallback { index: *index };
                let function = match self
                    .table
                    .and_then(|table| table.get(&mut self.store, *index))
                {
                    Some(Ref::Func(Some(function))) => function,
                    _ => return Err(missing().into()),
                };
                if self.module.info.wide {
                    let function = function.typed::<u64, ()>(&self.store);
                    function.map_err(|_| missing())?.call(&mut self.store, *env)
                } else {
                    let function = function.typed::<u32, ()>(&self.store);
                    function
                        .map_err(|_| missing())?
                        .call(&mut self.store, *env as u32)
                }
            }
        }
    }

    fn globals(&mut self) -> Vec<GlobalValue> {
        self.globals
            .iter()
            .map(|global| match global.get(&mut self.store) {
                Val::I32(value) => GlobalValue::I32(value),
                Val::I64(value) => GlobalValue::I64(value),
                Val::F32(bits) => GlobalValue::F32(bits),
                Val::F64(bits) => GlobalValue::F64(bits),
                Val::V128(value) => GlobalValue::V128(value.into()),
                _ => unreachable!("BUG: modules with mutable reference globals are refused"),
            })
            .collect()
    }

    fn set_globals(&mut self, values: &[GlobalValue]) {
        for (global, value) in self.globals.iter().zip(values) {
            let value = match *value {
                GlobalValue::I32(value) => Val::I32(value),
                GlobalValue::I64(value) => Val::I64(value),
                GlobalValue::F32(bits) => Val::F32(bits),
                GlobalValue::F64(bits) => Val::F64(bits),
                GlobalValue::V128(value) => Val::V128(value.into()),
            };
            global
                .set(&mut self.store, value)
                .expect("BUG: a global keeps its type within a module");
        }
    }

    /// The canister takes over what the instance has become; false where the instance is of no further use.
    fn commit(&mut self, code: &mut Code, changes: Option<&Changes>) -> bool {
        code.globals = self.globals();
        let Some(memory) = self.memory else {
            return true;
        };
        code.heap.grow_to(memory.size(&self.store));
        let bytes = memory.data(&self.store);
        match (changes, &mut self.tracked) {
            (Some(changes), Some(tracked)) => {
                let kept = tracked.commit(changes, &mut code.heap, bytes);
                is_usable(kept.and_then(|()| tracked.set_back(changes)))
            }
            (_, tracked) => {
                code.heap.commit(bytes);
                // A file must be told what was committed, and that is not known here.
                tracked.is_none()
            }
        }
    }

    /// The instance becomes what the canister is; false where it cannot, because memories do not shrink.
    fn restore(&mut self, code: &Code, changes: Option<&Changes>) -> bool {
        if self.bytes() != code.heap.len() {
            return false;
        }
        self.set_globals(&code.globals);
        let Some(memory) = self.memory else {
            return true;
        };
        let bytes = memory.data_mut(&mut self.store);
        match (changes, &mut self.tracked) {
            (Some(changes), Some(tracked)) => {
                tracked.restore(changes, &code.heap, bytes);
                is_usable(tracked.set_back(changes))
            }
            (None, Some(_)) => false,
            (_, None) => {
                code.heap.restore(bytes);
                true
            }
        }
    }

    /// What the pages of memory that differ from the canister's heap cost, in instructions.
    fn dirty_pages(&self, code: &Code, changes: Option<&Changes>) -> u64 {
        let Some(memory) = self.memory else {
            return 0;
        };
        let pages = match changes {
            Some(changes) => changes.pages(),
            None => code.heap.differing_pages(memory.data(&self.store)),
        };
        let price = if self.module.info.wide {
            DIRTY_PAGE * WASM64_DIRTY_PAGE_FACTOR
        } else {
            DIRTY_PAGE
        };
        pages.saturating_mul(price)
    }

    /// What was done to the memory, where that can be known without looking at all of it.
    fn changes(&self, code: &Code) -> Option<Changes> {
        let tracked = self.tracked.as_ref()?;
        let memory = self.memory?.data(&self.store);
        tracked
            .changes(&code.heap, memory)
            .inspect_err(|error| tracing::warn!(%error, "cannot tell which pages of a canister were written"))
            .ok()
    }
}

/// Whether a memory is what its canister's heap is; where not, its instance is of no further use.
fn is_usable(done: io::Result<()>) -> bool {
    done.inspect_err(|error| tracing::warn!(%error, "a canister's memory is made anew"))
        .is_ok()
}

/// The heap limit that the canister's controllers have set, where it binds this message.
fn own_heap_max(message: &Message) -> Option<u64> {
    // It must not stand in the way of a canister's saving its data, or of answers that it waits for.
    let binds = match message.mode {
        Mode::Start | Mode::Init | Mode::Update => true,
        Mode::PreUpgrade
        | Mode::Heartbeat
        | Mode::GlobalTimer
        | Mode::LowMemory
        | Mode::Reply
        | Mode::Reject
        | Mode::ReplicatedQuery
        | Mode::Query
        | Mode::Transform
        | Mode::CompositeQuery
        | Mode::CompositeReply
        | Mode::CompositeReject
        | Mode::Cleanup
        | Mode::CompositeCleanup
        | Mode::Inspect => false,
    };
    let max = message.facts.as_ref()?.settings.wasm_memory_limit;
    (binds && max > 0).then_some(max)
}
