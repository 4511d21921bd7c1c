//! What the canisters share: the cores' tables in stable memory, HTTP answers and metrics.
//!
//! It refuses to know the market, and it names no system call: whoever uses it hands over the
//! memories and sends the answers.

pub mod http;
pub mod metrics;
pub mod stable;

pub use http::{HttpRequest, HttpResponse};
pub use metrics::Metrics;
pub use stable::{StableLog, StableTable, StableValue};
