// Every limit of the page, by name, with its unit last. Those of the market are in the canisters' interfaces.

/** Bytes of all texts of one request together. */
export const REQUEST_BYTES_MAX = 64 * 1024;
/** Messages in one request. */
export const MESSAGES_MAX = 64;
/** Tokens that one answer may have. */
export const OUTPUT_TOKENS_MAX = 4_096;
/** Highest temperature, in thousandths. */
export const TEMPERATURE_MILLI_MAX = 10_000;
/** Checkers a requester may ask for. */
export const CHECKERS_MAX = 5;
/** Replicas a requester may ask for. */
export const REPLICAS_MAX = 7;
/** Seconds after which a job expires that the page submits. */
export const DEADLINE_SECONDS = 600;
/** Input tokens that a template may add: once, and for each message. */
export const TEMPLATE_TOKENS = 48;
export const TEMPLATE_TOKENS_PER_MESSAGE = 8;
/** Records of one page of a list. */
export const PAGE_MAX = 100;
/** Pages that are read of a list of the registry. */
export const PAGES_MAX = 20;
/** Characters of a chat's title. */
export const TITLE_CHARS_MAX = 80;
/** Characters of the system prompt. */
export const SYSTEM_CHARS_MAX = 4_000;
/** Chats that are kept; of more, the oldest that are not pinned go. */
export const CHATS_MAX = 2_000;
/** Chats that the sidebar shows at once. */
export const CHATS_SHOWN = 100;
/** Found chats that the search shows. */
export const FOUND_MAX = 50;
/** Bytes of a receipt file or an export that is read. */
export const RECEIPT_FILE_BYTES_MAX = 16 * 1024 * 1024;
export const IMPORT_FILE_BYTES_MAX = 64 * 1024 * 1024;
/** Milliseconds after which a certificate is no longer fresh. */
export const FRESH_MS_MAX = 300_000;
/** Bytes of the longest certificate or witness that is read. */
export const CBOR_BYTES_MAX = 1024 * 1024;
/** Characters of a code block that is coloured; longer ones stay plain. */
export const CODE_CHARS_MAX = 20_000;
/** Characters of a formula that is typeset. */
export const MATH_CHARS_MAX = 4_000;
/** Milliseconds between two looks at a job: while text comes, at most, and while the page is hidden. */
export const LOOK_MS = 250;
export const LOOK_MS_MAX = 2_000;
export const LOOK_HIDDEN_MS = 5_000;
/** Answers that are followed at once. */
export const FOLLOWED_MAX = 8;
/** Tries of a call whose answer was lost. */
export const TRIES_MAX = 4;
/** Milliseconds that the receipt of an ended job may take. */
export const RECEIPT_MS_MAX = 20_000;
/** Milliseconds between two readings of live numbers, and how many readings a small chart holds. */
export const LIVE_MS = 4_000;
export const LIVE_POINTS = 60;
/** Messages on the page at once. */
export const TOASTS_MAX = 4;
/** Milliseconds for which a deletion can be taken back. */
export const UNDO_MS = 8_000;
/** Milliseconds after the last change when sealed copies follow. */
export const KEPT_MS = 5_000;
/** Sealed copies that are fetched or sent at once. */
export const KEPT_AT_ONCE = 4;
/** Bytes of a sealed copy. */
export const SEALED_BYTES_MAX = 1_000_000;
/** Copies that the canister keeps for one account. */
export const KEPT_CHATS_MAX = 1_000;
/** Refusals for want of room after which only copies are sent that take the place of one. */
export const FULL_TRIES_MAX = 8;
/** Days after which a copy is sent again; the canister keeps it for 400. */
export const KEPT_DAYS = 300;
/** Copies on which a key is tried that somebody entered. */
export const KEY_TRIES_MAX = 16;
/** Milliseconds for dropping copies when everything is deleted. */
export const DROP_MS_MAX = 10_000;
