//! The compiler, and its memory of what it has compiled.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use wasmtime::{Config, Engine, Instance, InstancePre, Linker, Module, Store};

use super::{
    InvalidModule, Widths,
    meter::operator_cost,
    prepare::{Info, Prepared, prepare},
    signature::Imports,
};
use crate::{
    limits,
    mem::{Heap, Regions},
    sysapi::{self, Host},
};

/// Compiled modules that stay in memory although no canister uses them.
const UNUSED_MODULES_MAX: usize = 64;
/// Counts the ways in which modules were ever rewritten before they were compiled.
const PREPARATION: u32 = 2;
/// Stack for canister code, in bytes. Threads that run a network need twice as much.
const WASM_STACK_BYTES: usize = 1 << 20;

/// A module that canisters can run.
pub(crate) struct Compiled {
    /// SHA-256 of the module as it was sent.
    pub(crate) hash: [u8; 32],
    /// What the network has to know about it.
    pub(crate) info: Info,
    /// The heap before any of its code has run.
    pub(crate) heap: Heap,
    ready: InstancePre<Host>,
}

/// Makes instances; the one thing that the executor needs from a compiled module.
pub(crate) trait Instantiate {
    /// A fresh instance. Its memory is empty: active data is part of [`Compiled::heap`].
    fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<Instance>;
}

impl Instantiate for Compiled {
    fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<Instance> {
        self.ready.instantiate(store)
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled")
            .field("hash", &hex::encode(self.hash))
            .finish_non_exhaustive()
    }
}

/// Compiles modules, each once.
pub(crate) struct Compiler {
    engine: Engine,
    regions: Option<Arc<Regions>>,
    linkers: Widths<Linker<Host>>,
    imports: Widths<Imports>,
    known: BTreeMap<[u8; 32], Arc<Compiled>>,
    folder: Option<PathBuf>,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler")
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

impl Compiler {
    /// A compiler that keeps its results in `folder`, where one is given and can be used.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self::with(folder, Regions::probe())
    }

    /// A compiler whose instances have memories of this kind, or plain ones.
    pub(crate) fn with(folder: Option<PathBuf>, regions: Option<Arc<Regions>>) -> Self {
        let mut config = config();
        #[cfg(target_os = "linux")]
        if let Some(regions) = &regions {
            config.with_host_memory(Arc::clone(regions) as Arc<dyn wasmtime::MemoryCreator>);
        }
        let engine =
            Engine::new(&config).expect("BUG: this engine configuration is fixed and valid");
        let linker = |link: fn(&mut Linker<Host>) -> wasmtime::Result<()>| {
            let mut linker = Linker::new(&engine);
            link(&mut linker).expect("BUG: the System API names every function once");
            linker
        };
        let linkers = Widths {
            narrow: linker(sysapi::link32),
            wide: linker(sysapi::link64),
        };
        let mut store = Store::new(&engine, Host::default());
        let imports = Widths {
            narrow: Imports::of(&linkers.narrow, &mut store),
            wide: Imports::of(&linkers.wide, &mut store),
        };
        let folder = folder.filter(|folder| match private_folder(folder) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "compiled modules are not kept on disk");
                false
            }
        });
        Self {
            engine,
            regions,
            linkers,
            imports,
            known: BTreeMap::new(),
            folder,
        }
    }

    /// The engine that instances live in.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What tells which pages of instances' memories were written, where the system can.
    pub(crate) fn regions(&self) -> Option<&Arc<Regions>> {
        self.regions.as_ref()
    }

    /// Checks and compiles a module, or remembers it.
    pub(crate) fn compile(&mut self, sent: &[u8]) -> Result<Arc<Compiled>, InvalidModule> {
        let hash: [u8; 32] = Sha256::digest(sent).into();
        if let Some(known) = self.known.get(&hash) {
            return Ok(Arc::clone(known));
        }
        let Prepared { bytes, info, data } = prepare(sent, &self.imports)?;
        let module = self.module(&hash, &bytes)?;
        let linker = self.linkers.get(info.wide);
        let ready = linker
            .instantiate_pre(&module)
            .map_err(|error| InvalidModule::Compile {
                reason: format!("{error:#}"),
            })?;
        let mut heap = Heap::new(info.memory_pages.unwrap_or(0));
        for (offset, bytes) in data {
            heap.write(offset, &bytes);
        }
        let compiled = Arc::new(Compiled {
            hash,
            info,
            heap,
            ready,
        });
        if self.known.len() >= UNUSED_MODULES_MAX {
            self.known.retain(|_, module| Arc::strong_count(module) > 1);
        }
        self.known.insert(hash, Arc::clone(&compiled));
        Ok(compiled)
    }

    fn module(&self, hash: &[u8; 32], bytes: &[u8]) -> Result<Module, InvalidModule> {
        let file = self
            .folder
            .as_deref()
            .map(|folder| folder.join(format!("{}.{PREPARATION}.cwasm", hex::encode(hash))));
        if let Some(module) = file.as_deref().and_then(|file| self.load(file)) {
            return Ok(module);
        }
        let module = Module::new(&self.engine, bytes).map_err(|error| InvalidModule::Compile {
            reason: format!("{error:#}"),
        })?;
        if let Some(file) = file {
            let kept = module
                .serialize()
                .map_err(io::Error::other)
                .and_then(|bytes| write_whole(&file, &bytes));
            if let Err(error) = kept {
                tracing::warn!(file = %file.display(), %error, "cannot keep a compiled module");
            }
        }
        Ok(module)
    }

    #[allow(unsafe_code, reason = "compiled code can only be loaded on trust")]
    fn load(&self, file: &Path) -> Option<Module> {
        if !file.exists() {
            return None;
        }
        // SAFETY: the folder is this user's alone (see `private_folder`), its files are only ever put there whole, by
        // `module` above, and wasmtime itself refuses files of another version, configuration or processor.
        let loaded = unsafe { Module::deserialize_file(&self.engine, file) };
        loaded
            .inspect_err(
                |error| tracing::debug!(file = %file.display(), %error, "compiling a module again"),
            )
            .ok()
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .operator_cost(operator_cost())
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .wasm_backtrace_max_frames(None)
        .wasm_tail_call(true)
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(true)
        // All memories stay where they are; growing one means making more of its reservation reachable.
        .memory_reservation(limits::HEAP_BYTES_MAX_64)
        .wasm_multi_memory(false)
        .wasm_extended_const(false);
    config
}

/// Makes the folder, for this user only, and refuses one that others can write to.
fn private_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        if fs::metadata(folder)?.permissions().mode() & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "other users can write to the folder; make it private (chmod go-w)",
            ));
        }
    }
    #[cfg(not(unix))]
    fs::create_dir_all(folder)?;
    Ok(())
}

/// A file appears with all its bytes or not at all.
fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = file.with_extension(format!("{}.partial", std::process::id()));
    fs::write(&partial, bytes)?;
    fs::rename(&partial, file)
}
