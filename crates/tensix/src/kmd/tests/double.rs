//! A driver that does as a script says, with the memory of one card behind it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::*;
use crate::device::{Device, DeviceError};
use crate::isa::mailbox::{self, Progress, status};
use crate::isa::tile::{ALL_HELD, RUNNING, SOFT_RESET, niu};

/// What is wrong with the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    NoNode,
    Denied,
    Locked,
    TakenExclusively,
    OpenElsewhere,
    Blackhole,
    OldDriver,
    SilentFirmware,
    NoTelemetry,
    /// Only the smallest windows are free.
    FewWindows,
    /// Programs start and never end.
    Hang,
    /// Somebody holds the cores once they run.
    Meddler,
    /// The link dies once the cores run.
    Unplugged,
    /// Somebody resets the card once the cores run, and the driver takes the mappings away.
    CardReset,
}

#[derive(Debug)]
pub(super) struct State {
    fault: Fault,
    pub(super) words: BTreeMap<(Tile, u64), u32>,
    view: View,
    pub(super) window_bytes: u64,
    pub(super) power: u16,
    /// Whether the link is dead.
    gone: bool,
    /// Whether the mappings are gone.
    unmapped: bool,
    /// Accesses since then.
    pub(super) after_reset: Cell<u32>,
    /// What the driver writes when nodes close.
    pub(super) on_close: Vec<(Tile, u64, u32)>,
}

const ARC: Tile = Tile::new(0, 10);
/// The card has two rows fused off and translates, so its first tile is this.
pub(super) const FIRST: Tile = Tile::new(18, 18);

impl State {
    /// The status reads that follow the release are still in time; a real process may die here.
    pub(super) fn mapped(&self) {
        assert!(
            !self.unmapped || self.after_reset.get() < 8,
            "touched a mapping that is gone"
        );
        if self.unmapped {
            self.after_reset.set(self.after_reset.get() + 1);
        }
    }

    pub(super) fn word(&self, tile: Tile, address: u64) -> u32 {
        if self.gone {
            return u32::MAX;
        }
        let word = self.words.get(&(tile, address)).copied();
        word.unwrap_or(if address == u64::from(SOFT_RESET) {
            ALL_HELD
        } else {
            0
        })
    }

    pub(super) fn set(&mut self, tile: Tile, address: u64, word: u32) {
        if self.gone {
            return;
        }
        self.words.insert((tile, address), word);
        if address == u64::from(SOFT_RESET) && word & ALL_HELD == RUNNING {
            let progress = match self.fault {
                Fault::Hang | Fault::Meddler | Fault::Unplugged | Fault::CardReset => {
                    Progress::Running
                }
                _ => Progress::Done,
            };
            for index in [status::MATRIX, status::READER] {
                let address = u64::from(mailbox::address(index));
                self.words.insert((tile, address), progress.word());
            }
            if self.fault == Fault::Meddler {
                self.words.insert((tile, address), ALL_HELD);
            }
            self.gone = self.fault == Fault::Unplugged;
            self.unmapped = self.fault == Fault::CardReset;
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Double(pub(super) Arc<Mutex<State>>);

impl Double {
    pub(super) fn new(fault: Fault) -> Self {
        let telemetry = if fault == Fault::NoTelemetry {
            0
        } else {
            0x1000_0100
        };
        let space = 0x8_0000_0000;
        let words = [
            (space + 0x8003_01D0, telemetry),
            (space + 0x8003_01D4, 0x1000_0200),
            (space + 0x1000_0104, 1),
            (space + 0x1000_0108, 4),
            (space + 0x1000_0200, 0b10_0001),
            (space + 0x8005_0100, niu::TRANSLATES),
        ];
        Self(Arc::new(Mutex::new(State {
            fault,
            words: words.map(|(at, word)| ((ARC, at), word)).into(),
            view: View {
                tile: Tile::new(0, 0),
                from: None,
                base: 0,
            },
            window_bytes: 0,
            power: 0,
            gone: false,
            unmapped: false,
            after_reset: Cell::new(0),
            on_close: Vec::new(),
        })))
    }

    pub(super) fn card(&self) -> Result<Card<Self>, NocError> {
        Card::open(self.clone(), 3)
    }

    pub(super) fn device(&self) -> Result<Device, DeviceError> {
        let noc = Box::new(Windowed::new(self.card()?));
        Device::open(noc, Duration::from_millis(20))
    }

    pub(super) fn word(&self, tile: Tile, address: u64) -> u32 {
        self.0.lock().unwrap().word(tile, address)
    }
}

impl System for Double {
    type Node = Self;

    fn open(&self, index: u32) -> io::Result<Self> {
        assert_eq!(index, 3);
        match self.0.lock().unwrap().fault {
            Fault::NoNode => Err(ErrorKind::NotFound.into()),
            Fault::Denied => Err(ErrorKind::PermissionDenied.into()),
            Fault::TakenExclusively => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(self.clone()),
        }
    }

    fn attribute(&self, _: u32, name: &str) -> io::Result<String> {
        assert_eq!(name, "tt_fw_bundle_ver");
        match self.0.lock().unwrap().fault {
            Fault::SilentFirmware => Err(ErrorKind::NotFound.into()),
            _ => Ok("18.10.0.0".to_owned()),
        }
    }

    fn users(&self, _: u32) -> io::Result<Vec<u32>> {
        match self.0.lock().unwrap().fault {
            Fault::OpenElsewhere => Ok(vec![17, 4711]),
            _ => Ok(Vec::new()),
        }
    }
}

impl Node for Double {
    type Window = Self;

    fn lock(&self) -> io::Result<()> {
        match self.0.lock().unwrap().fault {
            Fault::Locked => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }

    fn call(&self, request: Request<'_>) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.gone || state.unmapped {
            return Err(Errno::NODEV.into());
        }
        match request {
            Request::DeviceInfo(info) => {
                info.vendor = 0x1E52;
                info.device = if state.fault == Fault::Blackhole {
                    0xB140
                } else {
                    0x401E
                };
            }
            Request::DriverInfo(info) => {
                info.interface = if state.fault == Fault::OldDriver {
                    1
                } else {
                    2
                };
            }
            Request::AllocateWindow(window) => {
                if state.fault == Fault::FewWindows && window.bytes > 1 << 20 {
                    return Err(Errno::NOMEM.into());
                }
                window.id = 7;
                state.window_bytes = window.bytes;
            }
            Request::ConfigureWindow(ConfigureWindow { id, view, .. }) => {
                assert_eq!((*id, view.ordering), (7, 1));
                assert!(view.address.is_multiple_of(state.window_bytes));
                state.view = View {
                    tile: Tile::new(view.x_end as u8, view.y_end as u8),
                    from: (view.multicast == 1)
                        .then(|| Tile::new(view.x_start as u8, view.y_start as u8)),
                    base: view.address,
                };
            }
            Request::WriteOnClose(write) => {
                assert_eq!((write.bytes, write.flags, write.enabled), (32, 0, 1));
                let tile = Tile::new(write.x, write.y);
                state
                    .on_close
                    .push((tile, write.address, write.value as u32));
            }
            Request::Power(power) => {
                assert_eq!((power.bytes, power.valid), (40, 3));
                state.power = power.on;
            }
        }
        Ok(())
    }

    fn map(&self, _: u64, bytes: usize) -> io::Result<Self> {
        assert_eq!(bytes as u64, self.0.lock().unwrap().window_bytes);
        Ok(self.clone())
    }
}

impl Window for Double {
    fn read32(&self, offset: usize) -> u32 {
        let state = self.0.lock().unwrap();
        state.mapped();
        assert_eq!(state.view.from, None, "read a rectangle");
        state.word(state.view.tile, state.view.base + offset as u64)
    }

    fn write32(&mut self, offset: usize, value: u32) {
        let mut state = self.0.lock().unwrap();
        state.mapped();
        let View { tile, from, base } = state.view;
        let from = from.unwrap_or(tile);
        for y in from.y..=tile.y {
            for x in from.x..=tile.x {
                state.set(Tile::new(x, y), base + offset as u64, value);
            }
        }
    }
}
