//! Every limit that canisters and their callers meet.
//!
//! Where the Internet Computer publishes a figure, it is that figure.

/// Bytes in a Wasm page.
pub const WASM_PAGE_BYTES: usize = 65_536;
/// Bytes in the pages that are compared and charged.
pub const OS_PAGE_BYTES: usize = 4_096;

/// Bytes of a module, packed or unpacked.
pub const MODULE_BYTES_MAX: usize = 100 << 20;
/// Bytes of a module's code section.
pub const MODULE_CODE_BYTES_MAX: usize = 10 << 20;
/// Functions that a module defines.
pub const MODULE_FUNCTIONS_MAX: usize = 50_000;
/// Globals that a module defines.
pub const MODULE_GLOBALS_MAX: usize = 1_000;
/// Public methods that a module exports.
pub const MODULE_METHODS_MAX: usize = 1_000;
/// Bytes in all names of a module's public methods.
pub const MODULE_METHOD_NAMES_BYTES_MAX: usize = 20_000;
/// Custom sections `icp:…` in a module.
pub const MODULE_METADATA_SECTIONS_MAX: usize = 16;
/// Bytes in all custom sections `icp:…` of a module, names included.
pub const MODULE_METADATA_BYTES_MAX: usize = 1 << 20;
/// Instructions in one function.
pub const FUNCTION_INSTRUCTIONS_MAX: usize = 1_000_000;
/// How hard one function may be to compile: its operators, branches and calls counting for many.
pub const FUNCTION_COMPLEXITY_MAX: usize = 1_000_000;

/// How many instructions each kind of message may use on a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instructions {
    /// One update, callback, heartbeat or timer.
    pub update: u64,
    /// One query.
    pub query: u64,
    /// A composite query with all the queries that it calls.
    pub composite: u64,
    /// One installation or upgrade, all its entry points together.
    pub install: u64,
    /// `canister_inspect_message`.
    pub inspect: u64,
}

/// Instructions on subnets for everybody.
pub const INSTRUCTIONS: Instructions = Instructions {
    update: 40_000_000_000,
    query: 5_000_000_000,
    composite: 5_000_000_000,
    install: 300_000_000_000,
    inspect: 200_000_000,
};
/// Instructions on system subnets.
pub const INSTRUCTIONS_SYSTEM: Instructions = Instructions {
    update: 50_000_000_000,
    install: 1_000_000_000_000,
    ..INSTRUCTIONS
};
/// Instructions on subnets on which things are measured.
pub const INSTRUCTIONS_BENCHMARKING: Instructions = Instructions {
    update: 99_999_999_999_999,
    query: 99_999_999_999_999,
    composite: 99_999_999_999_999,
    install: 99_999_999_999_999,
    inspect: 99_999_999_999_999,
};
/// Part of a callback's instructions that is kept for its cleanup: one in this many.
pub const CLEANUP_SHARE: u64 = 20;

/// Bytes in the argument of an ingress message.
pub const INGRESS_BYTES_MAX: usize = 2 << 20;
/// Bytes in the argument of an ingress message to the NNS subnet.
pub const INGRESS_BYTES_MAX_NNS: usize = 7 << 19;
/// Bytes in the argument of a call between canisters of one subnet, name included.
pub const CALL_BYTES_MAX: usize = 10 << 20;
/// Bytes in the argument of a call to a canister on another subnet, name included.
pub const CALL_BYTES_MAX_ACROSS: usize = 2 << 20;
/// Bytes in a reply to an update.
pub const REPLY_BYTES_MAX: usize = 2 << 20;
/// Bytes in a reply to a query.
pub const QUERY_REPLY_BYTES_MAX: usize = 3 << 20;
/// Bytes of the message that a canister gives when it traps.
pub const TRAP_BYTES_MAX: usize = 32 << 10;
/// Bytes of a message that goes with a reject.
pub const REJECT_BYTES_MAX: usize = 8 << 10;
/// Open calls from one canister to another.
pub const CALLS_PER_PAIR_MAX: usize = 500;
/// Ingress messages that are not answered yet, in the whole network.
pub const INGRESS_OPEN_MAX: usize = 10_000;
/// Ingress messages that are remembered, answered ones included.
pub const INGRESS_KNOWN_MAX: usize = 500_000;
/// Bytes in all replies to ingress messages that are kept; beyond, the oldest are dropped early.
pub const INGRESS_ANSWER_BYTES_MAX: usize = 128 << 20;
/// Seconds for which an answer to an ingress message is kept.
pub const INGRESS_KEPT_SECONDS: u64 = 300;
/// Longest wait of a bounded-wait call, in seconds.
pub const BEST_EFFORT_SECONDS_MAX: u32 = 300;
/// Seconds after which a `stop_canister` that cannot finish is given up.
pub const STOP_SECONDS_MAX: u64 = 300;
/// Depth of composite queries that call each other.
pub const COMPOSITE_DEPTH_MAX: usize = 6;
/// Instructions that a query which another one calls counts for, beside its own.
pub const QUERY_CALL_INSTRUCTIONS: u64 = 50_000_000;

/// Bytes of a heap with 32-bit addresses.
pub const HEAP_BYTES_MAX: u64 = 4 << 30;
/// Bytes of a heap with 64-bit addresses.
pub const HEAP_BYTES_MAX_64: u64 = 6 << 30;
/// Elements of a table.
pub const TABLE_ELEMENTS_MAX: usize = 1_000_000;
/// Wasm pages of a stable memory.
pub const STABLE_PAGES_MAX: u64 = (500 << 30) / WASM_PAGE_BYTES as u64;
/// Wasm pages that the 32-bit stable memory functions can address.
pub const STABLE_PAGES_MAX_32: u64 = 65_536;
/// Stable OS pages that one message may write, and that it may read.
pub const STABLE_PAGES_PER_MESSAGE_MAX: u64 = (2 << 30) / OS_PAGE_BYTES as u64;
/// Stable OS pages that one installation or upgrade may write, and that it may read.
pub const STABLE_PAGES_PER_INSTALL_MAX: u64 = (8 << 30) / OS_PAGE_BYTES as u64;
/// Stable OS pages that one query may write, and that it may read.
pub const STABLE_PAGES_PER_QUERY_MAX: u64 = (1 << 30) / OS_PAGE_BYTES as u64;

/// Bytes of certified data.
pub const CERTIFIED_DATA_BYTES_MAX: usize = 32;
/// Controllers of one canister.
pub const CONTROLLERS_MAX: usize = 10;
/// Principals that may see something of a canister without controlling it.
pub const VIEWERS_MAX: usize = 10;
/// Environment variables of one canister.
pub const ENVIRONMENT_VARIABLES_MAX: usize = 20;
/// Bytes of the name, and of the value, of an environment variable.
pub const ENVIRONMENT_VARIABLE_BYTES_MAX: usize = 128;
/// Bytes of log that are kept per canister, unless its controllers want more.
pub const LOG_BYTES_MAX: usize = 4_096;
/// Bytes of log that controllers may have kept.
pub const LOG_BYTES_LIMIT_MAX: usize = 2 << 20;
/// Bytes that a line of log takes besides its text.
pub const LOG_LINE_BYTES: usize = 16;
/// Changes that a canister's history keeps.
pub const CHANGES_MAX: usize = 20;
/// Snapshots of one canister.
pub const SNAPSHOTS_MAX: usize = 10;
/// Bytes of a snapshot that one message may read or write.
pub const SNAPSHOT_SLICE_BYTES_MAX: u64 = 2_000_000;
/// Bytes of one chunk in a chunk store.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Chunks in one chunk store.
pub const CHUNKS_MAX: usize = 100;

/// Days for which the work of nodes is remembered.
pub const NODE_METRICS_DAYS_MAX: usize = 60;

/// HTTPS outcalls that wait for an answer, in the whole network.
pub const OUTCALLS_MAX: usize = 3_000;
/// Seconds after which an HTTPS outcall is given up.
pub const OUTCALL_SECONDS_MAX: u64 = 60;
/// Bytes of an outcall's URL.
pub const OUTCALL_URL_BYTES_MAX: usize = 8_192;
/// Headers of an outcall, and of its answer.
pub const OUTCALL_HEADERS_MAX: usize = 64;
/// Bytes of one name, or of one value, of an outcall's headers.
pub const OUTCALL_HEADER_BYTES_MAX: usize = 8 << 10;
/// Bytes of all names and values of an outcall's headers.
pub const OUTCALL_HEADERS_BYTES_MAX: usize = 48 << 10;
/// Bytes of an outcall: headers and body.
pub const OUTCALL_REQUEST_BYTES_MAX: usize = 2_000_000;
/// Bytes of the answer to an outcall.
pub const OUTCALL_RESPONSE_BYTES_MAX: u64 = 2_000_000;
/// Bytes of all answers to a flexible outcall together.
pub const OUTCALL_FLEXIBLE_BYTES_MAX: usize = 2 << 20;

/// Subnets of one network.
pub const SUBNETS_MAX: usize = 64;
/// How often subnets may come and go.
pub const TOPOLOGY_CHANGES_MAX: usize = 1_024;
/// Administrators of one subnet.
pub const SUBNET_ADMINS_MAX: usize = 100;
/// Requests whose changes are remembered one by one; whoever asks later looks at all of them.
pub const REQUEST_CHANGES_MAX: usize = 65_536;

/// Accounts of one ledger that hold something.
pub const LEDGER_ACCOUNTS_MAX: usize = 1_000_000;
/// Allowances on one ledger.
pub const LEDGER_ALLOWANCES_MAX: usize = 1_000_000;
/// Transactions of one ledger that are remembered so that they are not executed twice.
pub const LEDGER_REMEMBERED_MAX: usize = 1_000_000;
/// Blocks of one ledger that are kept; beyond, the oldest are dropped.
pub const LEDGER_BLOCKS_KEPT: usize = 1_000_000;
/// Expired allowances that one transaction removes.
pub const LEDGER_PRUNED_MAX: usize = 100;
/// Blocks in one answer of a ledger.
pub const LEDGER_BLOCKS_PER_ANSWER_MAX: usize = 100;
/// Allowances in one answer of a ledger.
pub const LEDGER_ALLOWANCES_PER_ANSWER_MAX: usize = 500;
/// Work that decoding an argument of a system canister may take.
pub const LEDGER_DECODING_QUOTA: usize = 20_000_000;
/// Work that skipping what nobody asked for in such an argument may take.
pub const LEDGER_SKIPPING_QUOTA: usize = 10_000;
/// Notified payments whose outcome is kept; beyond, the oldest are dropped.
pub const CMC_NOTIFICATIONS_KEPT: usize = 100_000;

/// Messages that one round executes.
pub const ROUND_MESSAGES_MAX: usize = 500;
/// Instructions after which a round starts no other message.
pub const ROUND_INSTRUCTIONS_MAX: u64 = 40_000_000_000;
/// Canisters whose instances are kept warm between messages.
pub const WARM_CANISTERS_MAX: usize = 32;
/// OS pages of a warm instance that are its own between messages, and compared after each.
pub const PRIVATE_PAGES_MAX: usize = 64;
/// Bytes of heap that warm instances may hold together.
pub const WARM_BYTES_MAX: usize = 1 << 30;
