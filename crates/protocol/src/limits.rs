//! Every limit of the market, by name, with its unit last.

/// Messages in one request.
pub const MESSAGES_MAX: usize = 64;
/// Bytes of all texts of one request together: messages, tools, prompt, stop strings and schema.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Tools in one request.
pub const TOOLS_MAX: usize = 32;
/// Calls of tools in one request's messages.
pub const TOOL_CALLS_MAX: usize = 64;
/// Stop strings in one request.
pub const STOP_STRINGS_MAX: usize = 16;
/// Bytes of one stop string.
pub const STOP_BYTES_MAX: usize = 256;
/// Bytes of a JSON Schema.
pub const SCHEMA_BYTES_MAX: usize = 16 * 1024;
/// Alternatives that may be asked for with each token.
pub const LOGPROBS_MAX: u8 = 20;
/// Tokens with a bias.
pub const LOGIT_BIAS_MAX: usize = 300;
/// Greatest bias of either sign, in thousandths.
pub const LOGIT_BIAS_MILLI_MAX: i32 = 100_000;
/// Greatest presence or frequency penalty of either sign, in thousandths.
pub const PENALTY_MILLI_MAX: i32 = 2_000;
/// Greatest repetition penalty, in thousandths; the least is 1.
pub const REPETITION_PENALTY_MILLI_MAX: u32 = 100_000;
/// Longest window of a repetition penalty, in tokens.
pub const REPETITION_WINDOW_MAX: u32 = 1 << 20;
/// Tokens one job may generate.
pub const OUTPUT_TOKENS_MAX: u32 = 4_096;
/// Highest temperature, in thousandths.
pub const TEMPERATURE_MILLI_MAX: u32 = 10_000;
/// Tokens that a chat template may add per message, for the worst-case price and the context check.
pub const TEMPLATE_TOKENS_PER_MESSAGE: u32 = 8;
/// Tokens that a chat template may add per tool and per call of one.
pub const TEMPLATE_TOKENS_PER_TOOL: u32 = 96;
/// Tokens that a chat template may add once (default system message, generation prompt).
pub const TEMPLATE_TOKENS: u32 = 48;
/// Bytes of the revealed answer.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Input tokens of a revealed result.
pub const INPUT_TOKENS_MAX: usize = 2 * REQUEST_BYTES_MAX
    + MESSAGES_MAX * TEMPLATE_TOKENS_PER_MESSAGE as usize
    + (TOOLS_MAX + TOOL_CALLS_MAX) * TEMPLATE_TOKENS_PER_TOOL as usize
    + TEMPLATE_TOKENS as usize;
/// Bytes of an idempotency key; the least is 1.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;
/// Jobs of one requester that are not ended.
pub const OPEN_JOBS_PER_REQUESTER_MAX: usize = 32;
/// Jobs that are not ended, all requesters together.
pub const OPEN_JOBS_MAX: usize = 100_000;
/// Checkers a requester may ask for.
pub const CHECKERS_MAX: u8 = 5;
/// Replicas a requester may ask for.
pub const REPLICAS_MAX: u8 = 7;
/// Checks beyond those asked for that one job may pay, all rounds together.
pub const EXTRA_CHECKS_MAX: u32 = 4;
/// Generations that one job may start (rejected, silent and lost ones counted).
pub const ROUNDS_MAX: u32 = 5;
/// Providers that must find that a request cannot be done before its job ends for it.
pub const DECLINES_MAX: usize = 2;
/// Leases that one job may grant, all rounds together.
pub const LEASES_PER_JOB_MAX: u32 = 40;
/// Shortest deadline of a job.
pub const DEADLINE_SECONDS_MIN: u32 = 30;
/// Longest deadline of a job.
pub const DEADLINE_SECONDS_MAX: u32 = 24 * 3_600;
/// Seconds in which a granted lease must be claimed.
pub const CLAIM_SECONDS: u64 = 60;
/// Seconds a lease lives without a heartbeat.
pub const LEASE_SECONDS: u64 = 30;
/// Seconds between a worker's heartbeats.
pub const HEARTBEAT_SECONDS: u64 = 8;
/// Seconds one run may take in all, heartbeats or not; a checker has them from its generator's commitment on.
pub const RUN_SECONDS_MAX: u64 = 600;
/// Seconds in which commitments must be opened.
pub const REVEAL_SECONDS: u64 = 60;
/// Seconds after its deadline in which a job with a commitment waits for the others of its round.
pub const CHECK_GRACE_SECONDS: u64 = 60;
/// Seconds a job that needs one more worker waits for it after its other workers are done.
pub const EXTENSION_SECONDS: u64 = 60;
/// Seconds an announced free slot counts.
pub const READY_SECONDS: u64 = 60;
/// Seconds after a worker's last call during which its offers count in quotes.
pub const OFFER_SECONDS: u64 = 600;
/// Seconds between two sweeps while jobs are open, at most.
pub const SWEEP_SECONDS: u64 = 5;
/// Seconds without any update after which the canister is taken to have stood still: deadlines move on by the gap.
pub const STALL_SECONDS: u64 = 20;
/// Seconds an idempotency key is kept after its job has ended.
pub const KEY_SECONDS: u64 = 24 * 3_600;
/// Seconds for which request, answer and tokens of a job are kept after its end; the receipt stays.
pub const PAYLOAD_SECONDS: u64 = 30 * 24 * 3_600;
/// Pieces of provisional output that are dropped at once.
pub const CHUNKS_DROPPED_MAX: usize = 200;
/// Queued jobs that one matching tries to fill.
pub const MATCH_JOBS_MAX: usize = 200;
/// Work of one matching, in candidates weighed or as much; it ends with the job that passes this.
pub const MATCH_WORK_MAX: usize = 300_000;
/// Audits that one matching decides on.
pub const AUDITS_PER_MATCH_MAX: usize = 200;
/// Queued jobs that one explanation looks at.
pub const EXPLAIN_JOBS_MAX: usize = 100;
/// Leases one worker may announce to hold at once.
pub const SLOTS_MAX: u16 = 64;
/// Offers for one model, those of all active workers together.
pub const OFFERS_PER_MODEL_MAX: usize = 2_000;
/// Offers of one worker.
pub const OFFERS_PER_WORKER_MAX: usize = 32;
/// Calls of `chat` and `v1_chat` that wait for their answers at once.
pub const CHATS_MAX: usize = 200;
/// Seconds that such a call waits at most; the caller's own deadline may come earlier.
pub const CHAT_SECONDS: u64 = 240;
/// Tokens that an answer to `v1_chat` has at most, as its interface cannot say.
pub const V1_CHAT_TOKENS_MAX: u32 = 1_000;
/// Provisional tokens in one progress call.
pub const PROGRESS_TOKENS_MAX: usize = 512;
/// Bytes of provisional text in one progress call.
pub const PROGRESS_TEXT_BYTES_MAX: usize = 16 * 1024;
/// Pieces of provisional output of one lease.
pub const CHUNKS_MAX: u32 = 2 * OUTPUT_TOKENS_MAX;
/// Bytes of text in one answer to `stream`.
pub const STREAM_BYTES_MAX: usize = 64 * 1024;
/// Bytes of conversations that one claim hands over, beyond the first order.
pub const CLAIM_BYTES_MAX: usize = 1024 * 1024;
/// Records in one page; a limit of 0 counts as 1, a larger one as this.
pub const PAGE_MAX: u32 = 100;
/// Bytes of one page: well below what a reply may hold. A page ends before the record that would pass it.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Entries of the event log in one page.
pub const EVENTS_PAGE_MAX: usize = 1_000;
/// Log lines that a canister keeps; the oldest goes when another comes.
pub const LOG_LINES_MAX: usize = 1_000;
/// Bytes of the text of one log line; what is longer is cut.
pub const LOG_LINE_BYTES_MAX: usize = 512;
/// Leases in one heartbeat.
pub const HEARTBEAT_LEASES_MAX: usize = 64;
/// Bytes of a reason that a worker gives in words.
pub const REASON_BYTES_MAX: usize = 256;
/// Ask price ceiling per 1,000 tokens: keeps every product inside `u128` by a wide margin.
pub const ASK_CYCLES_MAX: u128 = 1_000_000_000_000_000;
/// Escrow of one job.
pub const PRICE_CAP_CYCLES_MAX: u128 = 10_000_000_000_000_000_000;

/// Bytes of a name (provider, model, file).
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a contact, region, driver, license or architecture text.
pub const TEXT_BYTES_MAX: usize = 256;
/// Files of one model.
pub const MODEL_FILES_MAX: usize = 32;
/// Bytes of one model file.
pub const MODEL_FILE_BYTES_MAX: u64 = 1 << 44;
/// Addresses of one model file.
pub const FILE_URLS_MAX: usize = 8;
/// Bytes of one address.
pub const URL_BYTES_MAX: usize = 512;
/// Models in the registry.
pub const MODELS_MAX: usize = 10_000;
/// Providers in the registry.
pub const PROVIDERS_MAX: usize = 10_000;
/// Workers of one provider, retired ones included.
pub const WORKERS_PER_PROVIDER_MAX: usize = 256;
/// Workers in the registry, retired ones included.
pub const WORKERS_MAX: usize = 50_000;
/// Chips of one worker.
pub const CHIPS_MAX: u32 = 65_536;
/// Most models of which the registry keeps a worker's speed.
pub const SPEEDS_PER_WORKER_MAX: usize = OFFERS_PER_WORKER_MAX;
/// Most thousandths of a token per second that a worker may have: a million tokens.
pub const SPEED_MILLI_MAX: u64 = 1_000_000_000;
/// Reported speeds that one look at the hardware catalogue reads.
pub const SPEEDS_READ_MAX: usize = 2_000;
/// Kinds of machines and models that one look at the hardware catalogue tells apart.
pub const SPEEDS_SHOWN_MAX: usize = 256;
/// Jobs canisters in the registry's list.
pub const SHARDS_MAX: usize = 64;
/// Backends of one worker.
pub const BACKENDS_MAX: usize = 8;
/// Longest context a model may declare.
pub const CONTEXT_TOKENS_MAX: u32 = 131_072;
/// Confirmed results that the market may ask for before a worker's answers may go unchecked.
pub const TRUSTED_AFTER_MAX: u32 = 1_000;
/// Most that stake behind a lease may be of its greatest reward, as a factor.
pub const STAKE_FACTOR_MAX: u32 = 100;
/// Most that a worker may lose for a commitment it never opens.
pub const REVEAL_BOND_CYCLES_MAX: u128 = 1_000_000_000_000_000;
/// Canaries that wait to be asked.
pub const CANARIES_MAX: usize = 1_000;
/// Canaries given in one call.
pub const CANARIES_PER_CALL_MAX: usize = 20;
/// Canaries that are due behind the next jobs.
pub const CANARIES_DUE_MAX: usize = 16;
/// Most canaries for a million jobs.
pub const CANARY_PPM_MAX: u32 = 200_000;
/// Seconds in which a canary is to be answered.
pub const CANARY_DEADLINE_SECONDS: u32 = 3_600;
/// Seconds from `unstake` until the stake may be taken out: longer than any job lives.
pub const UNBONDING_SECONDS: u64 = 7 * 24 * 3_600;
/// Least amount of one deposit from a ledger or one withdrawal: about what it costs the market to keep its record. And of one gift that
/// is not all of a balance.
pub const TRANSFER_CYCLES_MIN: u128 = 10_000_000;
/// Greatest amount of one deposit from a ledger or one withdrawal: keeps every sum inside `u128` by a wide margin.
pub const TRANSFER_CYCLES_MAX: u128 = 1_000_000_000_000_000_000_000_000;
/// Greatest fee of a ledger that a market pays.
pub const LEDGER_FEE_CYCLES_MAX: u128 = 1_000_000_000_000;
/// Bytes of a ledger's subaccount, neither more nor less.
pub const SUBACCOUNT_BYTES: usize = 32;
/// Transfers of one account that have no end yet.
pub const OPEN_TRANSFERS_PER_ACCOUNT_MAX: u32 = 8;
/// Transfers that have no end yet, all accounts together.
pub const OPEN_TRANSFERS_MAX: u64 = 10_000;
/// Seconds to wait for a ledger's answer.
pub const LEDGER_WAIT_SECONDS: u32 = 60;
/// Seconds from the first try of a transfer to the next one: an unanswered try is over by then. Doubles with each try.
pub const TRANSFER_RETRY_SECONDS: u64 = 120;
/// Seconds between two tries of a transfer at most.
pub const TRANSFER_RETRY_SECONDS_MAX: u64 = 3_600;
/// Seconds in which a transfer is tried: an hour less than the 24 in which a ledger knows a repeated one.
pub const TRANSFER_WINDOW_SECONDS: u64 = 23 * 3_600;
/// Seconds after which no ledger can execute a transfer any more: its 24 hours and an hour for clocks that differ.
pub const TRANSFER_SETTLED_SECONDS: u64 = 25 * 3_600;
/// Transfers that are tried again in one go.
pub const TRANSFERS_PER_RETRY_MAX: usize = 20;
/// Royalty ceiling in basis points.
pub const ROYALTY_BPS_MAX: u16 = 2_000;
/// Fee ceiling in basis points.
pub const FEE_BPS_MAX: u16 = 2_000;
