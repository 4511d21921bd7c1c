//! What the canisters share: the cores' tables in stable memory, HTTP answers, metrics and log lines.
//!
//! It refuses to know the market, and it names no system call: whoever uses it hands over the
//! memories and sends the answers.

pub mod http;
pub mod logs;
pub mod metrics;
pub mod stable;

pub use http::{HttpRequest, HttpResponse, Pages};
pub use logs::{Level, Logs};
pub use metrics::Metrics;
pub use stable::{StableLog, StableTable, StableValue};
