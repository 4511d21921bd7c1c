//! Exact integer matrix products on Tenstorrent Wormhole, for the engine.
//!
//! Weights stay in the card's GDDR in the matrix unit's own layout; a call pushes activations into L1 and reads exact 32-bit sums
//! back. Norms, scales and all else that is not a product of integers stay on the host, so the card's answer is the host's, bit for bit.
//!
//! From the bottom up:
//! - [`isa`]: what host and kernels agree on; [`kernel`]: the checked-in programs of the two baby cores at work.
//! - [`operand`]: sign-magnitude bytes in the order in which the unpackers read; [`fidelity`]: why four narrow products make one exact one.
//! - [`noc`]: reading and writing tiles; [`window`]: the same through a card's address windows.
//! - Three transports: [`kmd`] (a card, through its kernel driver), [`ttsim`] (a simulator library that the operator has) and
//!   [`wolfpine`] (a simulator in a Python child).
//! - [`grid`]: which tiles there are; [`device`]: cores that run jobs before a deadline, and are back in reset afterwards.
//! - [`multiplier`]: whole products over all tiles, as the engine's `Accelerator`; [`split`]: over several chips.
//! - `sysfs`: which cards this machine has, and how they are, as the driver tells without being opened.
//!
//! What it refuses to know: models, floats, and any other chip. Nothing here has run on silicon yet; it is exact on two independent
//! simulators.

pub mod device;
pub mod fidelity;
pub mod grid;
pub mod isa;
pub mod kernel;
#[cfg(target_os = "linux")]
pub mod kmd;
pub mod multiplier;
pub mod noc;
pub mod operand;
mod plan;
pub mod split;
#[cfg(target_os = "linux")]
pub mod sysfs;
pub mod ttsim;
pub mod window;
pub mod wolfpine;
