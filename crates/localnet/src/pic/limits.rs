//! How much a client may ask of the server.

use std::time::Duration;

/// Instances that exist at the same time.
pub(super) const INSTANCES_MAX: usize = 256;

/// Bytes of a request's JSON: thirteen mocked answers of two megabytes each, in base64, fit.
pub(super) const REST_BYTES_MAX: usize = 64 << 20;

/// Bytes of one blob, as sent and as unpacked.
pub(super) const BLOB_BYTES_MAX: usize = 512 << 20;

/// Bytes of all blobs together.
pub(super) const BLOBS_BYTES_MAX: usize = 1 << 30;

/// Bytes of stable memory that are given in one answer.
pub(super) const STABLE_BYTES_MAX: usize = 512 << 20;

/// Bytes of a snapshot that go in one message.
pub(super) const SNAPSHOT_PIECE_BYTES: u64 = 2_000_000;

/// Bytes of the file that describes a snapshot.
pub(super) const SNAPSHOT_METADATA_BYTES_MAX: u64 = 16 << 20;

/// Bytes of a file with one chunk of a snapshot's chunk store.
pub(super) const SNAPSHOT_CHUNK_BYTES_MAX: u64 = 1 << 20;

/// Operations whose outcome is kept until a client reads it.
pub(super) const OPERATIONS_MAX: usize = 1024;

/// Gateways that are open at the same time.
pub(super) const GATEWAYS_MAX: usize = 256;

/// How long a client waits for an operation before it is told to read the outcome later. (Clients give up on a request
/// after half a minute.)
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Rounds within which a message must be answered.
pub(super) const AWAIT_ROUNDS_MAX: usize = 100;

/// How long a live network's message is waited for.
pub(super) const AWAIT_LIVE_MAX: Duration = Duration::from_secs(300);

/// How long a submitted message may wait to be started.
pub(super) const INGRESS_NANOS: u64 = 300 * 1_000_000_000;
