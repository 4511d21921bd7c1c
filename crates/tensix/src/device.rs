//! A chip whose baby cores run jobs: loaded, started, watched until a deadline, and back in reset whatever happens.
//!
//! Invariant: outside [`Device::run`] every baby core of every tile is held in reset. A run that fails, a panic and a drop hold
//! them too, and the transport has it written for a process that dies.

use std::time::{Duration, Instant};

use crate::isa::mailbox::{self, Progress, job, status};
use crate::isa::tile::{ALL_HELD, RUNNING, SOFT_RESET};
use crate::kernel::{KERNELS, Kernel};
use crate::noc::{ALL_ONES, Noc, NocError, Tile, read32, write32};

/// One product for one tile; see [`mailbox`] for what the numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Blocks of 16 activation rows.
    pub blocks: u32,
    /// Columns of 64 outputs.
    pub columns: u32,
    /// Steps of 64 along K.
    pub steps: u32,
    /// Where the activations are in L1.
    pub activations: u32,
    /// Where the results go in L1.
    pub results: u32,
    /// Where the weights are in their channel.
    pub weights: u32,
    /// Bytes from one column's weights to the next one's.
    pub stride: u32,
    /// The channel's endpoint, in raw coordinates.
    pub channel: Tile,
    /// Whether two fidelity phases are exact.
    pub narrow: bool,
}

impl Job {
    /// The mailbox, statuses cleared.
    fn words(&self) -> [u32; status::END as usize] {
        let mut words = [0; status::END as usize];
        for (index, word) in [
            (job::VERSION, mailbox::VERSION),
            (job::BLOCKS, self.blocks),
            (job::COLUMNS, self.columns),
            (job::STEPS, self.steps),
            (job::ACTIVATIONS, self.activations),
            (job::RESULTS, self.results),
            (job::WEIGHTS, self.weights),
            (job::STRIDE, self.stride),
            (job::CHANNEL, self.channel.word()),
            (job::NARROW, u32::from(self.narrow)),
        ] {
            words[index as usize] = word;
        }
        words
    }
}

/// What can go wrong with a device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The way to the chip failed.
    #[error(transparent)]
    Noc(#[from] NocError),
    /// L1 does not hold what was written to it.
    #[error(
        "{name}: program {program} reads back differently from tile {tile}; reset the card and test it"
    )]
    Program {
        /// The device.
        name: String,
        /// Where.
        tile: Tile,
        /// Which.
        program: &'static str,
    },
    /// A kernel does not take the job.
    #[error(
        "{name}: tile {tile} refused the job: its program is of another version or a count is out of range"
    )]
    Refused {
        /// The device.
        name: String,
        /// Where.
        tile: Tile,
    },
    /// A kernel did not end in time.
    #[error(
        "{name}: tile {tile} did not finish within {seconds} s ({filled} slots of weights read, {drained} used); its cores are back in reset; reset the card if this happens again"
    )]
    Deadline {
        /// The device.
        name: String,
        /// Where.
        tile: Tile,
        /// How long it had.
        seconds: f64,
        /// How far its reader came.
        filled: u32,
        /// How far its matrix core came.
        drained: u32,
    },
    /// Something else put the cores in reset.
    #[error(
        "{name}: tile {tile} was reset during a job (soft reset {word:#x}); stop what else uses this card"
    )]
    Reset {
        /// The device.
        name: String,
        /// Where.
        tile: Tile,
        /// What the register holds.
        word: u32,
    },
    /// An earlier job was cut off.
    #[error(
        "{name}: an earlier job was cut off and may have left instructions in a matrix unit; reset the card with tt-smi -r and open it again"
    )]
    CutOff {
        /// The device.
        name: String,
    },
    /// The mailbox holds what no kernel writes.
    #[error(
        "{name}: tile {tile} has the status {word:#x}, which no program writes; stop what else uses this card"
    )]
    Status {
        /// The device.
        name: String,
        /// Where.
        tile: Tile,
        /// The word.
        word: u32,
    },
}

/// An opened chip.
pub struct Device {
    noc: Box<dyn Noc>,
    tiles: Vec<Tile>,
    deadline: Duration,
    /// Whether a job ended before its programs did.
    cut_off: bool,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device")
            .field("name", &self.noc.name())
            .field("tiles", &self.tiles.len())
            .field("deadline", &self.deadline)
            .finish()
    }
}

impl Device {
    /// Discovers the grid, holds every core in reset and loads the programs; `deadline` is for each run.
    pub fn open(mut noc: Box<dyn Noc>, deadline: Duration) -> Result<Self, DeviceError> {
        let tiles = noc.workers()?;
        let mut device = Self {
            noc,
            tiles,
            deadline,
            cut_off: false,
        };
        for tile in device.tiles.clone() {
            let held = device.hold(tile)?;
            device
                .noc
                .write_on_close(tile, u64::from(SOFT_RESET), held)?;
            for kernel in &KERNELS {
                device.load(tile, kernel)?;
            }
        }
        Ok(device)
    }

    /// What this is, for messages.
    pub fn name(&self) -> &str {
        self.noc.name()
    }

    /// The tiles that run jobs.
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// Writes memory of a tile.
    pub fn write(&mut self, tile: Tile, address: u64, bytes: &[u8]) -> Result<(), NocError> {
        self.noc.write(tile, address, bytes)
    }

    /// Writes the same memory of all tiles.
    pub fn write_all(&mut self, address: u64, bytes: &[u8]) -> Result<(), NocError> {
        self.noc.write_workers(address, bytes)
    }

    /// Reads memory of a tile.
    pub fn read(&mut self, tile: Tile, address: u64, bytes: &mut [u8]) -> Result<(), NocError> {
        self.noc.read(tile, address, bytes)
    }

    /// Runs one job on each of some tiles, all at once, and returns when all are done and in reset again.
    pub fn run(&mut self, jobs: &[(Tile, Job)]) -> Result<(), DeviceError> {
        if self.cut_off {
            return Err(DeviceError::CutOff {
                name: self.noc.name().to_owned(),
            });
        }
        let outcome = self.start(jobs).and_then(|()| self.watch(jobs));
        // Programs that refuse a job have ended, and pushed nothing.
        self.cut_off = !matches!(outcome, Ok(()) | Err(DeviceError::Refused { .. }));
        let held = jobs
            .iter()
            .map(|(tile, _)| self.hold(*tile).map(|_| ()))
            .fold(Ok(()), Result::and);
        // The first failure is the cause; that holding fails as well follows from it.
        outcome?;
        Ok(held?)
    }

    fn start(&mut self, jobs: &[(Tile, Job)]) -> Result<(), DeviceError> {
        for (tile, job) in jobs {
            let bytes: Vec<u8> = job.words().iter().flat_map(|w| w.to_le_bytes()).collect();
            self.noc.write(*tile, u64::from(mailbox::MAILBOX), &bytes)?;
        }
        // A reset is seen only as time passes, so one that has just begun gets some.
        self.noc.idle()?;
        for (tile, _) in jobs {
            let word = read32(&mut *self.noc, *tile, u64::from(SOFT_RESET))?;
            let running = word & !ALL_HELD | RUNNING;
            write32(&mut *self.noc, *tile, u64::from(SOFT_RESET), running)?;
        }
        Ok(())
    }

    fn watch(&mut self, jobs: &[(Tile, Job)]) -> Result<(), DeviceError> {
        let end = Instant::now() + self.deadline;
        let mut waiting: Vec<Tile> = jobs.iter().map(|(tile, _)| *tile).collect();
        loop {
            // The clock first and the statuses after it, so that a host that slept does not blame the card.
            let late = Instant::now() >= end;
            let mut still = Vec::new();
            for &tile in &waiting {
                if !self.is_done(tile)? {
                    still.push(tile);
                }
            }
            let Some(&tile) = still.first() else {
                return Ok(());
            };
            if late {
                let [_, _, filled, drained] = self.statuses(tile)?;
                return Err(DeviceError::Deadline {
                    name: self.noc.name().to_owned(),
                    tile,
                    seconds: self.deadline.as_secs_f64(),
                    filled,
                    drained,
                });
            }
            waiting = still;
            self.noc.idle()?;
        }
    }

    fn is_done(&mut self, tile: Tile) -> Result<bool, DeviceError> {
        let [matrix, reader, _, _] = self.statuses(tile)?;
        let mut all = true;
        for word in [matrix, reader] {
            let name = || self.noc.name().to_owned();
            match Progress::from_word(word) {
                Some(Progress::Done) => {}
                Some(Progress::Idle | Progress::Running) => all = false,
                Some(Progress::Refused) => return Err(DeviceError::Refused { name: name(), tile }),
                None if word == ALL_ONES => {
                    return Err(NocError::Lost {
                        name: name(),
                        tile,
                        address: u64::from(mailbox::address(status::MATRIX)),
                    }
                    .into());
                }
                None => {
                    return Err(DeviceError::Status {
                        name: name(),
                        tile,
                        word,
                    });
                }
            }
        }
        if !all {
            let word = read32(&mut *self.noc, tile, u64::from(SOFT_RESET))?;
            if word & ALL_HELD != RUNNING {
                let name = self.noc.name().to_owned();
                return Err(DeviceError::Reset { name, tile, word });
            }
        }
        Ok(all)
    }

    /// Matrix core, reader, slots filled, slots drained.
    fn statuses(&mut self, tile: Tile) -> Result<[u32; 4], NocError> {
        let mut bytes = [0; 16];
        let address = u64::from(mailbox::address(status::MATRIX));
        self.noc.read(tile, address, &mut bytes)?;
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(words)
    }

    fn load(&mut self, tile: Tile, kernel: &Kernel) -> Result<(), DeviceError> {
        self.noc.write(tile, kernel.start.into(), kernel.bytes)?;
        let mut back = vec![0; kernel.bytes.len()];
        self.noc.read(tile, kernel.start.into(), &mut back)?;
        if back != kernel.bytes {
            return Err(DeviceError::Program {
                name: self.noc.name().to_owned(),
                tile,
                program: kernel.name,
            });
        }
        Ok(())
    }

    /// Puts every core of a tile in reset, leaves the register's other bits, and returns its word.
    fn hold(&mut self, tile: Tile) -> Result<u32, NocError> {
        let word = read32(&mut *self.noc, tile, u64::from(SOFT_RESET))?;
        let word = crate::window::alive(&*self.noc, tile, u64::from(SOFT_RESET), word)?;
        let held = word | ALL_HELD;
        write32(&mut *self.noc, tile, u64::from(SOFT_RESET), held)?;
        Ok(held)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        for tile in self.tiles.clone() {
            // A chip that is gone needs no reset, and nobody is left to tell.
            let _ = self.hold(tile);
        }
    }
}
