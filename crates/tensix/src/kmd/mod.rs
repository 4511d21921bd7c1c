//! Transport to a card: the kernel driver's device node, and a window of its BAR 0 mapped into this process.
//!
//! A card has one owner. Opening takes a lock, refuses a card that any other process has open, asks for full power and checks board,
//! driver and firmware. Power and window go back when the node closes. For each tile one more node is opened whose only purpose is to close:
//! the driver then puts that tile's cores in reset, also after a crash.
//!
//! When somebody resets a card that is in use, the driver takes the mappings away, and touching one ends the process. So the driver is
//! asked while a job runs, and nothing is touched once it has said no. What is left is the time between two questions: a process that
//! dies there leaves its tiles to the driver, as after any crash.
//!
//! It has not run on a card yet; tests script the driver.

mod ioctl;
mod system;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::sync::atomic::{Ordering, fence};

use ioctl::{
    AllocateWindow, ConfigureWindow, DeviceInfo, DriverInfo, INTERFACE, Power, Request, WindowView,
    WriteOnClose,
};
use rustix::io::Errno;
use system::{Linux, Node, System, Window, path};

use crate::noc::{Noc, NocError, Tile};
use crate::window::{Aperture, View, WINDOW_KINDS, Windowed};

/// Vendor and device of a Wormhole.
const WORMHOLE: (u16, u16) = (0x1E52, 0x401E);

/// Opens card `index`, as in `/dev/tenstorrent/0`.
pub fn open(index: u32) -> Result<Box<dyn Noc>, NocError> {
    Ok(Box::new(Windowed::new(Card::open(Linux, index)?)))
}

/// An open card.
struct Card<S: System> {
    name: String,
    index: u32,
    system: S,
    bytes_log2: u32,
    window: u32,
    shown: View,
    /// The driver has taken the card away: its memory must not be touched.
    gone: bool,
    // Mappings go before the node that they belong to.
    uncached: <S::Node as Node>::Window,
    combining: <S::Node as Node>::Window,
    node: S::Node,
    /// Nodes that are open in order to close.
    closing: Vec<S::Node>,
}

impl<S: System> Card<S> {
    fn open(system: S, index: u32) -> Result<Self, NocError> {
        let name = path(index).display().to_string();
        let busy = |by| NocError::Busy {
            path: path(index),
            by,
        };
        let node = system.open(index).map_err(|error| match error.kind() {
            ErrorKind::NotFound => NocError::Missing {
                name: name.clone(),
                remedy: "install the tt-kmd driver and see `ls /dev/tenstorrent`",
            },
            ErrorKind::PermissionDenied => NocError::Permission { path: path(index) },
            // Some programs ask for a card of their own.
            ErrorKind::ResourceBusy | ErrorKind::WouldBlock => busy("another program".to_owned()),
            _ => NocError::io(&name, "open it", error),
        })?;
        node.lock().map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => busy("another worker".to_owned()),
            _ => NocError::io(&name, "lock it", error),
        })?;
        // Drivers without this list leave the lock.
        let users = system.users(index).unwrap_or_default();
        if !users.is_empty() {
            let pids: Vec<String> = users.iter().map(u32::to_string).collect();
            return Err(busy(format!("process {}", pids.join(", "))));
        }
        check(&system, &node, index, &name)?;

        let call = |what, request: Request<'_>| {
            node.call(request)
                .map_err(|error| NocError::io(&name, what, error))
        };
        call("ask for full power", Request::Power(&mut Power::full()))?;
        let (window, bytes_log2) = allocate(&node, &name)?;
        let map = |offset| {
            node.map(offset, 1 << bytes_log2)
                .map_err(|error| NocError::io(&name, "map a window", error))
        };
        let (uncached, combining) = (map(window.uncached)?, map(window.combining)?);
        Ok(Self {
            name,
            index,
            system,
            bytes_log2,
            window: window.id,
            shown: View {
                tile: Tile::new(0, 0),
                from: None,
                base: 0,
            },
            gone: false,
            uncached,
            combining,
            node,
            closing: Vec::new(),
        })
    }

    fn lost(&self) -> NocError {
        NocError::Lost {
            name: self.name.clone(),
            tile: self.shown.tile,
            address: self.shown.base,
        }
    }

    /// Fails once the driver has taken the card away.
    fn here(&self) -> Result<(), NocError> {
        if self.gone { Err(self.lost()) } else { Ok(()) }
    }

    /// Asks the driver, and notes when it has no card any more.
    fn ask(&mut self, what: &'static str, request: Request<'_>) -> Result<(), NocError> {
        self.here()?;
        self.node.call(request).map_err(|error| {
            self.gone = error.raw_os_error() == Some(Errno::NODEV.raw_os_error());
            if self.gone {
                self.lost()
            } else {
                NocError::io(&self.name, what, error)
            }
        })
    }
}

/// Refuses other boards, drivers and silent firmware.
fn check<S: System>(system: &S, node: &S::Node, index: u32, name: &str) -> Result<(), NocError> {
    let mut driver = DriverInfo {
        room_bytes: 12,
        ..DriverInfo::default()
    };
    node.call(Request::DriverInfo(&mut driver))
        .map_err(|error| NocError::io(name, "ask the driver for its version", error))?;
    if driver.interface < INTERFACE {
        return Err(NocError::Driver {
            name: name.to_owned(),
            found: driver.interface,
            needed: INTERFACE,
        });
    }
    let mut device = DeviceInfo {
        room_bytes: 20,
        ..DeviceInfo::default()
    };
    node.call(Request::DeviceInfo(&mut device))
        .map_err(|error| NocError::io(name, "ask the driver for the board", error))?;
    if (device.vendor, device.device) != WORMHOLE {
        return Err(NocError::Board {
            name: name.to_owned(),
            vendor: device.vendor,
            device: device.device,
        });
    }
    // The driver shows a version only if the firmware tells one.
    let version = system.attribute(index, "tt_fw_bundle_ver");
    if !version.is_ok_and(|version| version.starts_with(|c: char| c.is_ascii_digit())) {
        return Err(NocError::Firmware {
            name: name.to_owned(),
            what: "it reports no version".to_owned(),
        });
    }
    Ok(())
}

/// The largest window that is free, and the base-2 logarithm of its bytes.
fn allocate(node: &impl Node, name: &str) -> Result<(AllocateWindow, u32), NocError> {
    let mut last = io::Error::from(ErrorKind::OutOfMemory);
    for kind in WINDOW_KINDS.iter().rev() {
        let mut window = AllocateWindow {
            bytes: 1 << kind.bytes_log2,
            ..AllocateWindow::default()
        };
        match node.call(Request::AllocateWindow(&mut window)) {
            Ok(()) => return Ok((window, kind.bytes_log2)),
            Err(error) => last = error,
        }
    }
    Err(NocError::io(name, "allocate a window", last))
}

impl<S: System> Aperture for Card<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn bytes_log2(&self) -> u32 {
        self.bytes_log2
    }

    fn show(&mut self, view: View) -> Result<(), NocError> {
        let mut argument = ConfigureWindow {
            id: self.window,
            view: WindowView {
                address: view.base,
                x_end: view.tile.x.into(),
                y_end: view.tile.y.into(),
                x_start: view.from.map_or(0, |from| from.x.into()),
                y_start: view.from.map_or(0, |from| from.y.into()),
                multicast: view.from.is_some().into(),
                ordering: 1,
                ..WindowView::default()
            },
            ..ConfigureWindow::default()
        };
        self.ask("move a window", Request::ConfigureWindow(&mut argument))?;
        self.shown = view;
        Ok(())
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), NocError> {
        self.here()?;
        for (i, bytes) in bytes.chunks_exact_mut(4).enumerate() {
            let word = self.uncached.read32(offset as usize + 4 * i);
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), NocError> {
        self.here()?;
        let words = bytes.chunks_exact(4).enumerate().map(|(i, bytes)| {
            let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            (offset as usize + 4 * i, word)
        });
        if bytes.len() == 4 {
            // It may be a register, which must see each access as it is.
            words.for_each(|(at, word)| self.uncached.write32(at, word));
            return Ok(());
        }
        words.for_each(|(at, word)| self.combining.write32(at, word));
        // Combined writes leave the processor, and a read that follows them on the same way shows that they arrived. A rectangle
        // cannot be read; the next read of a tile does it.
        fence(Ordering::SeqCst);
        if self.shown.from.is_some() {
            return Ok(());
        }
        self.uncached.read32(offset as usize + bytes.len() - 4);
        Ok(())
    }

    fn idle(&mut self) -> Result<(), NocError> {
        std::thread::yield_now();
        let mut info = DriverInfo {
            room_bytes: 12,
            ..DriverInfo::default()
        };
        self.ask(
            "ask whether it is still there",
            Request::DriverInfo(&mut info),
        )
    }

    fn write_on_close(&mut self, tile: Tile, address: u64, value: u32) -> Result<(), NocError> {
        let failed = |error| NocError::io(&self.name, "have a tile reset on close", error);
        let node = self.system.open(self.index).map_err(failed)?;
        let mut argument = WriteOnClose {
            bytes: size_of::<WriteOnClose>() as u32,
            enabled: 1,
            x: tile.x,
            y: tile.y,
            address,
            value: value.into(),
            ..WriteOnClose::default()
        };
        node.call(Request::WriteOnClose(&mut argument))
            .map_err(failed)?;
        self.closing.push(node);
        Ok(())
    }
}
