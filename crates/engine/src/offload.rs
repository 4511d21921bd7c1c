//! A model's matrices on a device: products of those that lie there are made there, all others on the host. The bits are the same.
//!
//! A device that fails is not asked again: the host makes its products from then on, so nothing that runs is lost, and
//! [`Offload::failure`] says why it is slow. It refuses to know what the device is: [`crate::accelerator`].

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    vec::Vec,
};

use crate::{
    accelerator::{Accelerator, AcceleratorError, Handle, PlaneBatch},
    kat::{self, KatFailure},
    model::{Encoder, Matrix, Model},
};

/// A device that all runs of some models share.
pub struct Offload {
    device: Mutex<Device>,
    failure: OnceLock<AcceleratorError>,
    calls: AtomicU64,
}

struct Device {
    accelerator: Box<dyn Accelerator + Send>,
    /// The widest known answers that it gave.
    tested: usize,
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload")
            .field("failure", &self.failure)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

/// Where a matrix lies beside the host's memory.
#[derive(Clone, Debug)]
pub(crate) struct Resident {
    offload: Arc<Offload>,
    handle: Handle,
}

/// How much of a model lies on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Matrices on the device.
    pub matrices: usize,
    /// Their weights.
    pub weights: u64,
    /// Matrices that the device has no room for: the host multiplies with them.
    pub left: usize,
}

impl Offload {
    /// Shares a device. Whether it is exact is tested when a model is placed on it.
    pub fn new(accelerator: Box<dyn Accelerator + Send>) -> Arc<Self> {
        Arc::new(Self {
            device: Mutex::new(Device {
                accelerator,
                tested: 0,
            }),
            failure: OnceLock::new(),
            calls: AtomicU64::new(0),
        })
    }

    /// Why the device is not used any more.
    pub fn failure(&self) -> Option<&AcceleratorError> {
        self.failure.get()
    }

    /// Calls that the device has answered: at least one for each product that it made.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Tests the device up to the widest of these matrices, then places them in this order, as far as there is room.
    fn place(self: &Arc<Self>, matrices: Vec<&mut Matrix>) -> Result<Placed, KatFailure> {
        let mut device = self.device.lock().map_err(|_| panicked())?;
        let widest = matrices.iter().map(|matrix| matrix.cols()).max();
        let widest = widest.unwrap_or(0);
        if widest > device.tested {
            kat::run_accelerator(&mut *device.accelerator, widest)?;
            device.tested = widest;
        }
        let mut placed = Placed::default();
        for matrix in matrices {
            let (rows, cols) = (matrix.rows(), matrix.cols());
            match device.accelerator.load(rows, cols, matrix.weights()) {
                Ok(handle) => {
                    let offload = self.clone();
                    matrix.set_resident(Resident { offload, handle });
                    placed.matrices += 1;
                    placed.weights += (rows * cols) as u64;
                }
                Err(AcceleratorError::Memory { .. }) => placed.left += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(placed)
    }
}

impl Resident {
    /// Whether the device still answers, as far as anybody knows.
    pub(crate) fn is_usable(&self) -> bool {
        self.offload.failure.get().is_none()
    }

    /// The exact sums, (token, row); none where the device has failed, now or before.
    pub(crate) fn multiply(&self, x: &PlaneBatch<'_>, rows: usize) -> Option<Vec<i64>> {
        let Offload {
            device,
            failure,
            calls,
        } = &*self.offload;
        let Ok(mut device) = device.lock() else {
            // It stopped in the middle of something: nobody knows what it would answer.
            let _ = failure.set(panicked());
            return None;
        };
        // Somebody may have found out while this waited.
        if failure.get().is_some() {
            return None;
        }
        let mut sums = vec![0; x.tokens * rows];
        match device.accelerator.multiply(self.handle, x, &mut sums) {
            Ok(()) => {
                calls.fetch_add(1, Ordering::Relaxed);
                Some(sums)
            }
            Err(error) => {
                // Under the lock, so nobody set it in between.
                let _ = failure.set(error);
                None
            }
        }
    }
}

fn panicked() -> AcceleratorError {
    AcceleratorError::Lost("its code panicked".into())
}

impl Model {
    /// Places the matrices on a device: those of the layers first, then the one that makes logits.
    pub fn offload(&mut self, device: &Arc<Offload>) -> Result<Placed, KatFailure> {
        let head = self.head.as_mut().unwrap_or(&mut self.embedding);
        let layers = self.layers.iter_mut().flat_map(|layer| {
            [
                &mut layer.q,
                &mut layer.k,
                &mut layer.v,
                &mut layer.o,
                &mut layer.gate,
                &mut layer.up,
                &mut layer.down,
            ]
        });
        device.place(layers.chain([head]).collect())
    }
}

impl Encoder {
    /// Places the matrices of the layers on a device.
    pub fn offload(&mut self, device: &Arc<Offload>) -> Result<Placed, KatFailure> {
        let layers = self.layers.iter_mut().flat_map(|layer| {
            [
                &mut layer.q,
                &mut layer.k,
                &mut layer.v,
                &mut layer.o,
                &mut layer.up,
                &mut layer.down,
            ]
        });
        device.place(layers.collect())
    }
}

#[cfg(test)]
mod tests;
