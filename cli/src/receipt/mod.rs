//! Receipts: what a canister certifies about a job, checked from nothing but the network's root key.

mod certificate;
mod file;
mod replay;
mod verify;

#[cfg(test)]
mod tests;

pub use certificate::CertificateError;
pub use file::{FILE_BYTES_MAX, FileError, ReceiptFile};
pub use replay::{ReplayError, replay};
pub use verify::{Proof, VerifyError, verify, verify_page};
