//! Where fuzzers come in: what strangers send, through the functions that take it, with everything asserted that must
//! hold whatever it is. Not part of the interface; the targets in `fuzz/` and the tests of their seeds are all who call it.

mod envelopes;
mod modules;

pub use self::{
    envelopes::{NOW, envelope, seeds},
    modules::{Ran, module},
};
