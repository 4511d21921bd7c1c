//! How much a network does for its canisters' outcalls.

use std::time::Duration;

/// Outcalls of one network that are made at the same time; others wait for their turn.
pub(super) const OUTCALLS_AT_ONCE_MAX: usize = 64;

/// How long one address may take to accept a connection.
pub(super) const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long one outcall may take, once it has its turn.
pub(super) const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// How long before nobody waits any more an outcall must have an answer.
pub(super) const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// Headers of a response that are read; the network refuses fewer than these.
pub(super) const HEADERS_READ_MAX: usize = 256;

/// Bytes of a response that are held before they are taken: room for the longest head that the network takes.
pub(super) const BUFFER_BYTES_MAX: usize = 128 << 10;

/// Addresses of one name that are tried.
pub(super) const ADDRESSES_TRIED_MAX: usize = 4;

/// Bytes of a failure's text.
pub(super) const REJECT_BYTES_MAX: usize = 1024;

/// How long to wait before a network that is busy is told an answer again.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(20);
