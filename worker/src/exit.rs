//! Exit codes of `assay-worker`, as `--help` lists them.

/// All is well.
pub const OK: u8 = 0;
/// Something failed that no other code names.
pub const FAILED: u8 = 1;
/// A flag or the configuration is wrong.
pub const USAGE: u8 = 2;
/// The identity, a canister id or the root key is missing, unsafe or of another network.
pub const CREDENTIALS: u8 = 3;
/// The state folder is in use by another worker, or damaged.
pub const STATE: u8 = 4;
/// A model file is missing, damaged or not registered.
pub const MODEL: u8 = 5;
/// A chip of `[backend]` is missing, busy, failed or not exact.
pub const DEVICE: u8 = 6;
/// A second signal ended the program at once.
pub const KILLED: u8 = 130;

/// The table that `--help` shows.
pub const HELP: &str = "\
Exit codes:
  0    ended as asked
  1    failed; the message says at what
  2    a flag or the configuration is wrong
  3    the identity, a canister id or the root key is missing, unsafe or of another network
  4    the state folder is in use by another worker, or damaged
  5    a model file is missing, damaged or not registered
  6    a chip of [backend] is missing, busy, failed or not exact
  130  a second signal ended it at once; leases were not given back";
