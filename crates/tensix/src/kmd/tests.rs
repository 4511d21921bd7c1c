//! A scripted driver with the memory of one card behind it: nothing here has met a card.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::device::{Device, DeviceError, Job};
use crate::isa::mailbox::{self, Progress, status};
use crate::isa::tile::{ALL_HELD, RUNNING, SOFT_RESET, niu};

/// What is wrong with the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
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
struct State {
    fault: Fault,
    words: BTreeMap<(Tile, u64), u32>,
    view: View,
    window_bytes: u64,
    power: u16,
    /// Whether the link is dead.
    gone: bool,
    /// Whether the mappings are gone.
    unmapped: bool,
    /// Accesses since then.
    after_reset: std::cell::Cell<u32>,
    /// What the driver writes when nodes close.
    on_close: Vec<(Tile, u64, u32)>,
}

const ARC: Tile = Tile::new(0, 10);
/// The card has two rows fused off and translates, so its first tile is this.
const FIRST: Tile = Tile::new(18, 18);

impl State {
    /// The status reads that follow the release are still in time; a real process may die here.
    fn mapped(&self) {
        assert!(
            !self.unmapped || self.after_reset.get() < 8,
            "touched a mapping that is gone"
        );
        if self.unmapped {
            self.after_reset.set(self.after_reset.get() + 1);
        }
    }

    fn word(&self, tile: Tile, address: u64) -> u32 {
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

    fn set(&mut self, tile: Tile, address: u64, word: u32) {
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
struct Double(Arc<Mutex<State>>);

impl Double {
    fn new(fault: Fault) -> Self {
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
            after_reset: std::cell::Cell::new(0),
            on_close: Vec::new(),
        })))
    }

    fn card(&self) -> Result<Card<Self>, NocError> {
        Card::open(self.clone(), 3)
    }

    fn device(&self) -> Result<Device, DeviceError> {
        let noc = Box::new(Windowed::new(self.card()?));
        Device::open(noc, Duration::from_millis(20))
    }

    fn word(&self, tile: Tile, address: u64) -> u32 {
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

fn job() -> Job {
    Job {
        blocks: 1,
        columns: 1,
        steps: 1,
        activations: mailbox::ARENA,
        results: mailbox::ARENA + mailbox::CHUNK_BYTES,
        weights: 1 << 20,
        stride: mailbox::STEP_BYTES,
        channel: Tile::new(0, 1),
        narrow: false,
    }
}

#[test]
fn a_card_opens_with_power_and_all_cores_in_reset() {
    let double = Double::new(Fault::None);
    let mut device = double.device().unwrap();
    assert_eq!(device.tiles().len(), 64, "two of ten rows are fused off");
    assert_eq!(device.tiles()[0], FIRST);
    assert_eq!(double.0.lock().unwrap().power, 0b111);
    device.run(&[(FIRST, job())]).unwrap();
    assert_eq!(double.word(FIRST, SOFT_RESET.into()), ALL_HELD);
}

#[test]
fn what_all_tiles_are_told_arrives_at_each_and_at_no_other() {
    let double = Double::new(Fault::None);
    let mut device = double.device().unwrap();
    device
        .write_all(0x3_0000, &[1, 0, 0, 0, 2, 0, 0, 0])
        .unwrap();
    let state = double.0.lock().unwrap();
    let told = |address| -> Vec<Tile> {
        let at = |((tile, at), _): (&(Tile, u64), &u32)| (*at == address).then_some(*tile);
        state.words.iter().filter_map(at).collect()
    };
    let mut tiles = device.tiles().to_vec();
    tiles.sort();
    assert_eq!(told(0x3_0000), tiles);
    assert_eq!(told(0x3_0004), tiles);
    assert_eq!(state.word(FIRST, 0x3_0004), 2);
}

#[test]
fn a_process_that_dies_leaves_every_tile_to_the_driver() {
    let double = Double::new(Fault::None);
    let device = double.device().unwrap();
    let registered = double.0.lock().unwrap().on_close.clone();
    let expected: Vec<_> = device
        .tiles()
        .iter()
        .map(|tile| (*tile, u64::from(SOFT_RESET), ALL_HELD))
        .collect();
    assert_eq!(registered, expected);
}

#[test]
fn smaller_windows_serve_where_the_large_ones_are_taken() {
    let double = Double::new(Fault::FewWindows);
    let mut device = double.device().unwrap();
    assert_eq!(double.0.lock().unwrap().window_bytes, 1 << 20);
    device.run(&[(FIRST, job())]).unwrap();
}

#[test]
fn a_card_that_must_not_be_used_is_refused_with_what_to_do() {
    for (fault, says) in [
        (
            Fault::NoNode,
            "/dev/tenstorrent/3: not found; install the tt-kmd driver and see `ls /dev/tenstorrent`",
        ),
        (
            Fault::Denied,
            "/dev/tenstorrent/3: permission denied; add this user to the group that owns the node, or install the driver's udev rule",
        ),
        (
            Fault::Locked,
            "/dev/tenstorrent/3: in use by another worker; stop that program, a chip has one owner",
        ),
        (
            Fault::TakenExclusively,
            "/dev/tenstorrent/3: in use by another program; stop that program, a chip has one owner",
        ),
        (
            Fault::OpenElsewhere,
            "/dev/tenstorrent/3: in use by process 17, 4711; stop that program, a chip has one owner",
        ),
        (
            Fault::Blackhole,
            "/dev/tenstorrent/3: PCI device 1e52:b140 is no Wormhole (1e52:401e); choose another device",
        ),
        (
            Fault::OldDriver,
            "/dev/tenstorrent/3: driver interface 1, needs 2; install a current tt-kmd",
        ),
        (
            Fault::SilentFirmware,
            "/dev/tenstorrent/3: firmware: it reports no version; update it with tt-flash",
        ),
        (
            Fault::NoTelemetry,
            "/dev/tenstorrent/3: firmware: no telemetry (0x0); update it with tt-flash",
        ),
    ] {
        let error = Double::new(fault).device().unwrap_err();
        assert_eq!(error.to_string(), says);
    }
}

#[test]
fn a_job_that_hangs_meets_its_deadline_and_its_cores_are_back_in_reset() {
    let double = Double::new(Fault::Hang);
    let mut device = double.device().unwrap();
    let error = device.run(&[(FIRST, job())]).unwrap_err();
    assert!(
        error.to_string().starts_with(
            "/dev/tenstorrent/3: tile (18, 18) did not finish within 0.02 s (0 slots of weights read, 0 used)"
        ),
        "{error}"
    );
    assert_eq!(double.word(FIRST, SOFT_RESET.into()), ALL_HELD);
    let error = device.run(&[(FIRST, job())]).unwrap_err();
    assert!(matches!(error, DeviceError::CutOff { .. }), "{error}");
}

#[test]
fn a_reset_in_the_middle_of_a_job_is_told() {
    let double = Double::new(Fault::Meddler);
    let error = double.device().unwrap().run(&[(FIRST, job())]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/dev/tenstorrent/3: tile (18, 18) was reset during a job (soft reset 0x47800); stop what else uses this card"
    );
}

#[test]
fn a_card_that_is_reset_under_a_job_is_told_and_not_touched_again() {
    let double = Double::new(Fault::CardReset);
    let mut device = double.device().unwrap();
    let error = device.run(&[(FIRST, job())]).unwrap_err();
    assert!(
        matches!(error, DeviceError::Noc(NocError::Lost { .. })),
        "{error}"
    );
    let touched = double.0.lock().unwrap().after_reset.get();
    drop(device);
    assert_eq!(double.0.lock().unwrap().after_reset.get(), touched);
}

#[test]
fn an_unplugged_card_is_told_and_nothing_hangs() {
    let double = Double::new(Fault::Unplugged);
    let mut device = double.device().unwrap();
    for _ in 0..2 {
        let error = device.run(&[(FIRST, job())]).unwrap_err();
        assert!(
            matches!(
                error,
                DeviceError::Noc(NocError::Lost { .. }) | DeviceError::CutOff { .. }
            ),
            "{error}"
        );
    }
}
