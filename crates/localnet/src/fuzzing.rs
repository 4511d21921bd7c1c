//! Where fuzzers come in: what strangers send over REST and to the gateway, through the functions that take it, with
//! everything asserted that must hold whatever it is. Not part of the interface; the targets in `fuzz/` and the tests of
//! their seeds are all who call it.

pub use crate::{gateway::fuzzing::gateway, pic::fuzzing::rest};
