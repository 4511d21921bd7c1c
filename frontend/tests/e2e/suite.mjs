// The web app end to end: the page that a canister serves, in a browser, with real workers behind it.
//
//   node --test --test-reporter=tap suite.mjs
//
// `cargo xtask conformance web` runs it. It wants ASSAY_CLI_BIN, ASSAY_WASM_DIR, ASSAY_MODEL and ASSAY_PAGE_DIR; ASSAY_WORKER_BIN
// and ASSAY_CHROMIUM where these are not at their usual places; ASSAY_SHOTS_DIR takes a picture of every case that fails.
// ASSAY_UP, the file that a running `assay up --page` left, saves the start; that network must send people to sign in at
// http://id.localhost:$ASSAY_STUB_PORT/authorize.
import "./cases/chat.mjs";
import "./cases/receipts.mjs";
import "./cases/clock.mjs";
import "./cases/device.mjs";
import "./cases/account.mjs";
import "./cases/kept.mjs";
import "./cases/shell.mjs";
import "./cases/hostile.mjs";
import "./cases/keyboard.mjs";
import "./cases/pages.mjs";
