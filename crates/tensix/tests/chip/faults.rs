//! What must not go wrong quietly: bad operands and jobs, a job without end, a reset by somebody else.

use std::time::Duration;

use assay_engine::accelerator::{Accelerator as _, PlaneBatch};
use assay_tensix::device::{Device, DeviceError, Job};
use assay_tensix::isa::mailbox;
use assay_tensix::isa::tile::{ALL_HELD, RUNNING, SOFT_RESET};
use assay_tensix::noc::{Noc, NocError, Tile, read32};

use crate::products::{DEADLINE, multiplier};

/// Minus 128 does not exist in sign and magnitude: it is refused on both sides, before the chip.
pub(crate) fn minus_one_hundred_and_twenty_eight(noc: Box<dyn Noc>) {
    let mut multiplier = multiplier(noc);
    assert!(multiplier.load(1, 2, &[1, -128]).is_err());
    let matrix = multiplier.load(1, 2, &[1, 1]).unwrap();
    let batch = PlaneBatch {
        tokens: 1,
        high: &[0, 0],
        low: &[-128, 0],
    };
    assert!(multiplier.multiply(matrix, &batch, &mut [0]).is_err());
}

/// A job over weights that are all zero.
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

/// The soft-reset word of a device's first tile.
fn soft_reset(device: &mut Device) -> u32 {
    let tile = device.tiles()[0];
    let mut bytes = [0; 4];
    device.read(tile, SOFT_RESET.into(), &mut bytes).unwrap();
    u32::from_le_bytes(bytes)
}

/// The programs refuse what they cannot do, and go on.
pub(crate) fn out_of_range(noc: Box<dyn Noc>) {
    let mut device = Device::open(noc, DEADLINE).unwrap();
    let tile = device.tiles()[0];
    for bad in [
        Job { blocks: 0, ..job() },
        Job { blocks: 9, ..job() },
        Job {
            columns: 0,
            ..job()
        },
        Job { steps: 0, ..job() },
    ] {
        let error = device.run(&[(tile, bad)]).unwrap_err();
        assert!(matches!(error, DeviceError::Refused { .. }), "{error}");
        assert_eq!(soft_reset(&mut device) & ALL_HELD, ALL_HELD);
    }
    device.run(&[(tile, job())]).unwrap();
}

/// A job without end meets its deadline, and nothing runs afterwards.
pub(crate) fn endless(noc: Box<dyn Noc>) {
    let mut device = Device::open(noc, Duration::from_millis(1)).unwrap();
    let tile = device.tiles()[0];
    // Far more work than a millisecond of simulation.
    let endless = Job {
        columns: 1 << 16,
        ..job()
    };
    let error = device.run(&[(tile, endless)]).unwrap_err();
    assert!(matches!(error, DeviceError::Deadline { .. }), "{error}");
    assert_eq!(soft_reset(&mut device) & ALL_HELD, ALL_HELD);
    let error = device.run(&[(tile, job())]).unwrap_err();
    assert!(matches!(error, DeviceError::CutOff { .. }), "{error}");
}

/// A transport that resets the tile once its cores run.
struct Meddler {
    inner: Box<dyn Noc>,
}

impl Noc for Meddler {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn read(&mut self, tile: Tile, address: u64, bytes: &mut [u8]) -> Result<(), NocError> {
        self.inner.read(tile, address, bytes)
    }
    fn write(&mut self, tile: Tile, address: u64, bytes: &[u8]) -> Result<(), NocError> {
        self.inner.write(tile, address, bytes)
    }
    fn idle(&mut self) -> Result<(), NocError> {
        let tile = self.inner.workers()?[0];
        if read32(&mut *self.inner, tile, SOFT_RESET.into())? & ALL_HELD == RUNNING {
            self.inner
                .write(tile, SOFT_RESET.into(), &ALL_HELD.to_le_bytes())?;
        }
        self.inner.idle()
    }
    fn workers(&mut self) -> Result<Vec<Tile>, NocError> {
        self.inner.workers()
    }
    fn write_on_close(&mut self, tile: Tile, address: u64, value: u32) -> Result<(), NocError> {
        self.inner.write_on_close(tile, address, value)
    }
}

/// Somebody resets the tile while it works.
pub(crate) fn reset_meanwhile(inner: Box<dyn Noc>) {
    let mut device = Device::open(Box::new(Meddler { inner }), DEADLINE).unwrap();
    let tile = device.tiles()[0];
    let long = Job {
        columns: 64,
        ..job()
    };
    let error = device.run(&[(tile, long)]).unwrap_err();
    assert!(matches!(error, DeviceError::Reset { .. }), "{error}");
}
