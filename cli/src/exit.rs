//! Exit codes of `assay`, as `--help` lists them.

/// All is well; for a question: the answer is verified.
pub const OK: u8 = 0;
/// Something failed that no other code names.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The job ended without a verified answer.
pub const NOT_VERIFIED: u8 = 3;
/// The network does not answer.
pub const UNREACHABLE: u8 = 4;
/// A receipt does not prove what it says, or a log does not hold.
pub const NOT_PROVEN: u8 = 5;
/// A file or program that is needed is missing or unusable.
pub const MISSING: u8 = 6;
/// The port is in use.
pub const PORT_IN_USE: u8 = 7;
/// The market refused the request; nothing was charged.
pub const REFUSED: u8 = 8;
/// Interrupted.
pub const INTERRUPTED: u8 = 130;

/// The table that `--help` shows.
pub const HELP: &str = "\
Exit codes:
  0    done; for a question: the answer is verified
  1    failed; the message says at what
  2    the command line is wrong
  3    the job ended without a verified answer
  4    the network does not answer
  5    a receipt does not prove what it says, or a log does not hold
  6    a file or program that is needed is missing or unusable
  7    the port is in use
  8    the market refused the request; nothing was charged
  130  interrupted";
