//! Transport to the vendor's simulator: a shared library that the operator has, presenting one chip behind PCIe.
//!
//! The library is named by the environment variable [`VARIABLE`] and never comes with this crate. It exists once in a process, and
//! ends the process on anything that the chip does not define; so it belongs in test programs, and never in a worker that serves.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use libloading::{Library, Symbol};

use crate::noc::{NocError, Tile};
use crate::window::{Aperture, View, WINDOW_CONFIGURATIONS, WINDOW_KINDS, Windowed};

/// Names the library.
pub const VARIABLE: &str = "ASSAY_TTSIM";

/// Vendor and device of a Wormhole, as the first configuration word has them.
const WORMHOLE: (u16, u16) = (0x1E52, 0x401E);
/// Clocks of one [`Aperture::idle`].
const CLOCKS: u32 = 1000;

type Lifecycle = unsafe extern "C" fn();
type ConfigurationRead = unsafe extern "C" fn(u32, u32) -> u32;
type MemoryRead = unsafe extern "C" fn(u64, *mut u8, u32);
type MemoryWrite = unsafe extern "C" fn(u64, *const u8, u32);
type Clock = unsafe extern "C" fn(u32);

/// Whether this process has a simulator, which it can have only once.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Starts the simulator of the library at `path`.
pub fn open(path: &OsStr) -> Result<Windowed<Simulator>, NocError> {
    Simulator::open(Path::new(path)).map(Windowed::new)
}

/// One window of the simulated chip: the first of 16 MiB.
#[derive(Debug)]
pub struct Simulator {
    name: String,
    bar: u64,
    read: MemoryRead,
    write: MemoryWrite,
    clock: Clock,
    exit: Lifecycle,
    /// What the functions above belong to.
    _library: Library,
}

const WINDOW: crate::window::WindowKind = WINDOW_KINDS[2];

impl Simulator {
    #[allow(unsafe_code, reason = "it loads and calls a C library")]
    fn open(path: &Path) -> Result<Self, NocError> {
        let name = path.display().to_string();
        if !path.is_file() {
            return Err(NocError::Missing {
                name,
                remedy: "let ASSAY_TTSIM name a simulator library for Wormhole",
            });
        }
        let failed = |error: libloading::Error| {
            NocError::io(
                &path.display().to_string(),
                "load it",
                std::io::Error::other(error),
            )
        };
        // SAFETY: the operator names a library that is meant to be loaded; its initialisers only set up its own state.
        let library = unsafe { Library::new(path) }.map_err(failed)?;
        // SAFETY: the types are those of the library's documented C interface.
        let (init, exit, configuration, read, write, clock) = unsafe {
            let init: Symbol<'_, Lifecycle> = library.get(b"libttsim_init\0").map_err(failed)?;
            let exit: Symbol<'_, Lifecycle> = library.get(b"libttsim_exit\0").map_err(failed)?;
            let configuration: Symbol<'_, ConfigurationRead> =
                library.get(b"libttsim_pci_config_rd32\0").map_err(failed)?;
            let read: Symbol<'_, MemoryRead> = library
                .get(b"libttsim_pci_mem_rd_bytes\0")
                .map_err(failed)?;
            let write: Symbol<'_, MemoryWrite> = library
                .get(b"libttsim_pci_mem_wr_bytes\0")
                .map_err(failed)?;
            let clock: Symbol<'_, Clock> = library.get(b"libttsim_clock\0").map_err(failed)?;
            (*init, *exit, *configuration, *read, *write, *clock)
        };
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(NocError::Simulator {
                name,
                what: "this process has had a simulator".to_owned(),
            });
        }
        // SAFETY: called once in this process, as `TAKEN` sees to, and before anything else of it.
        unsafe { init() };
        // SAFETY: the simulator runs; device 0 exists and offsets are multiples of four.
        let [identity, low, high] = [0, 0x10, 0x14].map(|at| unsafe { configuration(0, at) });
        let simulator = Self {
            name,
            bar: u64::from(high) << 32 | u64::from(low & !0xF),
            read,
            write,
            clock,
            exit,
            _library: library,
        };
        let (vendor, device) = (identity as u16, (identity >> 16) as u16);
        if (vendor, device) != WORMHOLE {
            return Err(NocError::Board {
                name: simulator.name.clone(),
                vendor,
                device,
            });
        }
        Ok(simulator)
    }

    #[allow(unsafe_code, reason = "it calls a C library")]
    fn put(&mut self, offset: u64, bytes: &[u8]) {
        // SAFETY: the simulator runs, one thread at a time has it, and it reads `bytes` only during the call.
        unsafe { (self.write)(self.bar + offset, bytes.as_ptr(), length(bytes)) }
    }
}

/// Windows have at most 16 MiB.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("BUG: an access is larger than a window")
}

impl Aperture for Simulator {
    fn name(&self) -> &str {
        &self.name
    }

    fn bytes_log2(&self) -> u32 {
        WINDOW.bytes_log2
    }

    fn show(&mut self, view: View) -> Result<(), NocError> {
        let word = view.word(WINDOW.bytes_log2);
        let at = WINDOW_CONFIGURATIONS + 8 * u64::from(WINDOW.first);
        self.put(at, &word.to_le_bytes());
        Ok(())
    }

    #[allow(unsafe_code, reason = "it calls a C library")]
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), NocError> {
        let at = self.bar + WINDOW.offset + offset;
        let length = length(bytes);
        // SAFETY: the simulator runs, one thread at a time has it, and it writes only those bytes.
        unsafe { (self.read)(at, bytes.as_mut_ptr(), length) }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), NocError> {
        self.put(WINDOW.offset + offset, bytes);
        Ok(())
    }

    #[allow(unsafe_code, reason = "it calls a C library")]
    fn idle(&mut self) -> Result<(), NocError> {
        // SAFETY: the simulator runs and one thread at a time has it.
        unsafe { (self.clock)(CLOCKS) }
        Ok(())
    }

    fn write_on_close(&mut self, _: Tile, _: u64, _: u32) -> Result<(), NocError> {
        // Nothing of a simulated chip outlives the process.
        Ok(())
    }
}

impl Drop for Simulator {
    #[allow(unsafe_code, reason = "it calls a C library")]
    fn drop(&mut self) {
        // SAFETY: the simulator runs, and nothing of it is called afterwards.
        unsafe { (self.exit)() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let error = open("/nowhere/libttsim.so".as_ref()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/nowhere/libttsim.so: not found; let ASSAY_TTSIM name a simulator library for Wormhole"
        );
    }

    #[test]
    fn a_file_that_is_no_library_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = open(file.path().as_os_str()).unwrap_err().to_string();
        assert!(error.contains("cannot load it"), "{error}");
    }
}
