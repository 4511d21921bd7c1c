//! Whole products over all tiles of a chip, with weights resident in its GDDR.
//!
//! A matrix's columns of 64 outputs are dealt out to the tiles once, each part in the channel with most room. A call then writes the
//! activations into L1 of all tiles at once, runs them, and adds up what they leave. Each token is two rows of activations, its
//! high and its low plane, and the host puts the sums together: `128 * high + low`, in 64 bits.

use std::time::Duration;

use assay_engine::accelerator::{Accelerator, AcceleratorError, Handle, PlaneBatch};

use crate::device::{Device, DeviceError, Job};
use crate::isa::mailbox::{
    ARENA, BLOCK_ROWS, COLUMN_OUTPUTS, RESULT_BYTES, STEP_BYTES, STEP_DEPTH,
};
use crate::noc::{Noc, NocError, Tile};
use crate::operand::{self, Activations, OperandError};
use crate::plan::{PASS_TOKENS, Part, Plan, Room};

/// The engine's accelerator on one chip.
#[derive(Debug)]
pub struct Multiplier {
    device: Device,
    room: Room,
    matrices: Vec<Resident>,
}

/// A matrix in GDDR.
#[derive(Debug)]
struct Resident {
    rows: usize,
    cols: usize,
    narrow: bool,
    parts: Vec<Part>,
}

/// Some steps along K of one pass, with their activations.
struct Segment {
    plan: Plan,
    /// Of the matrix's steps, the first.
    first: usize,
    steps: usize,
    tokens: usize,
}

impl Multiplier {
    /// Opens a chip; `deadline` is for each run of its tiles.
    pub fn open(noc: Box<dyn Noc>, deadline: Duration) -> Result<Self, DeviceError> {
        Ok(Self {
            device: Device::open(noc, deadline)?,
            room: Room::default(),
            matrices: Vec::new(),
        })
    }

    /// The chip.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs one segment on every tile and adds its sums to those of the pass, (token, row).
    fn accumulate(
        &mut self,
        matrix: usize,
        segment: &Segment,
        sums: &mut [i64],
    ) -> Result<(), DeviceError> {
        let Resident {
            rows,
            cols,
            narrow,
            ref parts,
        } = self.matrices[matrix];
        let stride = operand::steps(cols) * STEP_BYTES as usize;
        let Plan {
            blocks, columns, ..
        } = segment.plan;
        let most = parts.iter().map(|part| part.columns).max().unwrap_or(0);
        for done in (0..most).step_by(columns) {
            let jobs: Vec<(Part, Job)> = parts
                .iter()
                .filter(|part| part.columns > done)
                .map(|part| {
                    let offset = done * stride + segment.first * STEP_BYTES as usize;
                    let now = Part {
                        first: part.first + done,
                        columns: columns.min(part.columns - done),
                        address: part.address + offset as u64,
                        ..*part
                    };
                    let job = Job {
                        blocks: blocks as u32,
                        columns: now.columns as u32,
                        steps: segment.steps as u32,
                        activations: ARENA,
                        results: segment.plan.results(),
                        // A channel ends below 2^32.
                        weights: now.address as u32,
                        stride: stride as u32,
                        channel: now.channel,
                        narrow,
                    };
                    (now, job)
                })
                .collect();
            let run: Vec<(Tile, Job)> = jobs.iter().map(|(part, job)| (part.tile, *job)).collect();
            self.device.run(&run)?;
            for (part, job) in jobs {
                let results = read_results(&mut self.device, part.tile, &job, 2 * segment.tokens)?;
                let first = part.first * COLUMN_OUTPUTS as usize;
                let outputs = (part.columns * COLUMN_OUTPUTS as usize).min(rows - first);
                for token in 0..segment.tokens {
                    let sums = &mut sums[token * rows + first..][..outputs];
                    for (output, sum) in sums.iter_mut().enumerate() {
                        let plane =
                            |row| i64::from(operand::result_at(&results, blocks, row, output));
                        *sum += 128 * plane(2 * token) + plane(2 * token + 1);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Accelerator for Multiplier {
    fn load(
        &mut self,
        rows: usize,
        cols: usize,
        weights: &[i8],
    ) -> Result<Handle, AcceleratorError> {
        let packed = operand::pack_weights(rows, cols, weights).map_err(refused("a matrix"))?;
        let column_bytes = operand::steps(cols) * STEP_BYTES as usize;
        let bytes = packed.bytes.len();
        let parts = self
            .room
            .place(self.device.tiles(), operand::columns(rows), column_bytes)
            .ok_or(AcceleratorError::Memory { bytes })?;
        for part in &parts {
            let part_bytes =
                &packed.bytes[part.first * column_bytes..][..part.columns * column_bytes];
            self.device
                .write(part.channel, part.address, part_bytes)
                .map_err(|error| lost(error.into()))?;
        }
        self.matrices.push(Resident {
            rows,
            cols,
            narrow: packed.narrow,
            parts,
        });
        Ok(Handle(self.matrices.len() as u32 - 1))
    }

    fn multiply(
        &mut self,
        matrix: Handle,
        x: &PlaneBatch<'_>,
        sums: &mut [i64],
    ) -> Result<(), AcceleratorError> {
        let index = matrix.0 as usize;
        let matrix = self
            .matrices
            .get(index)
            .ok_or(AcceleratorError::Shape { what: "a handle" })?;
        let (rows, cols) = (matrix.rows, matrix.cols);
        let columns = matrix.parts.iter().map(|part| part.columns).max();
        x.check(rows, cols, sums)?;
        sums.fill(0);
        let Some(columns) = columns else {
            return Ok(());
        };
        let steps = operand::steps(cols);
        for first_token in (0..x.tokens).step_by(PASS_TOKENS) {
            let tokens = PASS_TOKENS.min(x.tokens - first_token);
            let plan = Plan::new(operand::blocks(2 * tokens), columns, steps);
            let sums = &mut sums[first_token * rows..][..tokens * rows];
            for first in (0..steps).step_by(plan.steps) {
                let begin = first * STEP_DEPTH as usize;
                let end = cols.min(begin + plan.steps * STEP_DEPTH as usize);
                let mut packed = Activations::new(2 * tokens, end - begin);
                for token in 0..tokens {
                    let at = (first_token + token) * cols;
                    for (plane, values) in [x.high, x.low].into_iter().enumerate() {
                        packed
                            .set_row(2 * token + plane, &values[at + begin..at + end])
                            .map_err(refused("a vector"))?;
                    }
                }
                self.device
                    .write_all(ARENA.into(), &packed.bytes)
                    .map_err(|error| lost(error.into()))?;
                let segment = Segment {
                    plan,
                    first,
                    steps: operand::steps(end - begin),
                    tokens,
                };
                self.accumulate(index, &segment, sums).map_err(lost)?;
            }
        }
        Ok(())
    }
}

/// Reads what a job left for its first `rows` rows; the others are zero. Reads of a card are slow, so none is made in vain.
fn read_results(
    device: &mut Device,
    tile: Tile,
    job: &Job,
    rows: usize,
) -> Result<Vec<u8>, NocError> {
    let mut results = vec![0; (job.columns * job.blocks * RESULT_BYTES) as usize];
    for (i, block) in results.chunks_exact_mut(RESULT_BYTES as usize).enumerate() {
        let address = u64::from(job.results) + i as u64 * u64::from(RESULT_BYTES);
        let rows = rows - i % job.blocks as usize * BLOCK_ROWS as usize;
        if rows >= BLOCK_ROWS as usize {
            device.read(tile, address, block)?;
            continue;
        }
        for (group, words) in block.chunks_exact_mut(operand::GROUP_BYTES).enumerate() {
            let address = address + (group * operand::GROUP_BYTES) as u64;
            let used = rows * operand::GROUP_BYTES / BLOCK_ROWS as usize;
            device.read(tile, address, &mut words[..used])?;
        }
    }
    Ok(results)
}

fn refused(what: &'static str) -> impl Fn(OperandError) -> AcceleratorError {
    move |_| AcceleratorError::Shape { what }
}

fn lost(error: DeviceError) -> AcceleratorError {
    AcceleratorError::Lost(error.to_string())
}

#[cfg(test)]
mod tests;
