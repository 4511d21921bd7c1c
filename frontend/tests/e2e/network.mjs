// A network of our own for the suite: canisters, workers and the page, started by `assay up` and ended with it.
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const START_MS_MAX = 300_000;
const STOP_MS_MAX = 20_000;

function needed(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; cargo xtask conformance web sets it`);
  return value;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The command line of the network that has its state there: gives what it prints. */
const commands = (home) => async (...args) => {
  const env = { ...process.env, ASSAY_HOME: home };
  return (await promisify(execFile)(needed("ASSAY_CLI_BIN"), args, { env })).stdout;
};

/** A network that runs already, by the file that `assay up` left. */
function running(file) {
  const up = JSON.parse(readFileSync(file, "utf8"));
  return { site: up.page.url.replace(/\/$/, ""), up, cli: commands(dirname(file)), stop: async () => undefined };
}

/** Starts the network with people signing in at `identityProvider`, and answers when the page is served. */
export async function startNetwork(identityProvider) {
  if (process.env.ASSAY_UP) return running(process.env.ASSAY_UP);
  const program = needed("ASSAY_CLI_BIN");
  const home = mkdtempSync(join(tmpdir(), "assay-web-"));
  const args = ["up", "--port", "0", "--workers", "3", "--page", needed("ASSAY_PAGE_DIR"), "--identity-provider", identityProvider];
  const env = { ...process.env, ASSAY_HOME: home, ASSAY_WASM_DIR: needed("ASSAY_WASM_DIR"), ASSAY_MODEL: needed("ASSAY_MODEL") };
  if (process.env.ASSAY_WORKER_BIN) args.push("--worker-bin", process.env.ASSAY_WORKER_BIN);
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (said = (said + text).slice(-8_000)));
  const ended = new Promise((resolve) => child.once("close", resolve));
  let gone = false;
  child.once("close", () => (gone = true));
  child.once("error", (error) => ((gone = true), (said += error.message)));

  // Whoever ends the suite before its time ends the network, too.
  const leave = () => {
    child.kill("SIGTERM");
    process.exit(1);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, leave);
  process.once("exit", () => child.kill("SIGTERM"));

  async function stop() {
    if (!gone) {
      child.kill("SIGTERM");
      await Promise.race([ended, pause(STOP_MS_MAX)]);
      if (!gone) child.kill("SIGKILL");
    }
    rmSync(home, { recursive: true, force: true });
  }

  // Written whole, at the end, so it is there when everything else is.
  const file = join(home, "up.json");
  const end = Date.now() + START_MS_MAX;
  while (!existsSync(file)) {
    if (gone || Date.now() > end) {
      await stop();
      throw new Error(`assay up ${gone ? "ended" : "is not ready"}:\n${said}`);
    }
    await pause(200);
  }
  const up = JSON.parse(readFileSync(file, "utf8"));
  if (up.page === undefined || up.page === null) {
    await stop();
    throw new Error("assay up serves no page");
  }
  return { site: up.page.url.replace(/\/$/, ""), up, cli: commands(home), stop };
}
