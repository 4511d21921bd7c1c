//! What a browser and a canister may send each other through the gateway.

/// Bytes of a request's path and query.
pub(crate) const URL_BYTES_MAX: usize = 8 << 10;
/// Segments of a request's path; proofs for a path grow with their square.
pub(crate) const PATH_SEGMENTS_MAX: usize = 256;
/// Bytes in the names and values of a request's headers.
pub(crate) const REQUEST_HEADER_BYTES_MAX: usize = 64 << 10;
/// Bytes in the names and values of a response's headers.
pub(crate) const RESPONSE_HEADER_BYTES_MAX: usize = 128 << 10;
/// Headers of a response.
pub(crate) const RESPONSE_HEADERS_MAX: usize = 200;
/// Bytes of a response's body, all its parts together: room for a small language model.
pub(crate) const RESPONSE_BYTES_MAX: usize = 256 << 20;
/// Bytes that a packed body may unpack to while it is checked.
pub(crate) const UNPACKED_BYTES_MAX: usize = 128 << 20;
/// Queries that one response may take, the first included.
pub(crate) const PARTS_MAX: usize = 1_000;
/// Requests to canisters that are under way at once; more wait.
pub(crate) const REQUESTS_AT_ONCE_MAX: usize = 64;
/// Levels of a certificate or of a tree of hashes inside each other.
pub(crate) const CERTIFICATE_DEPTH_MAX: usize = 256;
/// Levels of brackets in a certificate expression.
pub(crate) const EXPRESSION_DEPTH_MAX: usize = 16;
/// How far a certificate's time may be from the present.
pub(crate) const CERTIFICATE_AGE_NANOS_MAX: u64 = 300_000_000_000;
/// How long an update call may take until the gateway gives up on its answer.
pub(crate) const UPDATE_SECONDS_MAX: u64 = 240;
/// Domains below which canisters are found.
pub(crate) const DOMAINS_MAX: usize = 64;
/// Host names that stand for one canister each.
pub(crate) const ALIASES_MAX: usize = 1_000;
