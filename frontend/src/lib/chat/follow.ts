// A question to the network, from the submit to the proven receipt. Every step may be done again after a reload.
import type { Identity } from "@icp-sdk/core/agent";
import { hex, sha256, utf8, equal } from "../bytes.ts";
import { env, jobs } from "../ic/connection.ts";
import { Refusal, isPassing, ok, trouble } from "../ic/errors.ts";
import { opt, tag, type CertifiedReceipt, type JobState, type JobView } from "../ic/types.ts";
import { RECEIPT_MS_MAX, TRIES_MAX } from "../limits.ts";
import { NotProven } from "../proof/certificate.ts";
import { verify } from "../proof/verify.ts";
import { keepReceipt } from "../store/receipts.ts";
import { Pace } from "./pace.ts";
import type { Ending, Outcome, Phase, Reply } from "./types.ts";

const PHASES: Record<string, Phase> = {
  Queued: "queued",
  Running: "running",
  Revealing: "comparing",
  Extended: "extended",
};

const isEnded = (state: JobState): boolean => PHASES[tag(state)] === undefined;

/** Follows a reply to its end. `save` keeps what was reached so far. */
export async function follow(reply: Reply, identity: Identity, signal: AbortSignal, save: () => Promise<void>): Promise<void> {
  try {
    if (reply.job === undefined) await submit(reply, identity, signal, save);
    if (reply.job === undefined) return;
    const view = await watch(reply, identity, signal, save);
    if (view === undefined) return;
    settle(reply, view);
    reply.proof = { kind: "checking" };
    await save();
    await prove(reply, view, identity, signal);
    reply.open = 0;
  } catch (error) {
    // Where it was only the way there that failed, a later visit goes on; a refusal is final.
    reply.trouble = trouble(error);
    reply.phase = "failed";
    reply.open = error instanceof Refusal || reply.job === undefined ? 0 : 1;
  }
  await save();
}

/** The key makes a repeated call, after a lost answer, give the same job. */
async function submit(reply: Reply, identity: Identity, signal: AbortSignal, save: () => Promise<void>): Promise<void> {
  if (reply.args === undefined) throw new Error("BUG: nothing to submit");
  const canister = await jobs(reply.shard, identity);
  const pace = new Pace();
  for (let tries = 1; ; tries++) {
    if (signal.aborted) return;
    try {
      const submitted = ok("submit", await canister.submit(reply.args));
      reply.job = submitted.job.toString();
      reply.phase = "queued";
      return save();
    } catch (error) {
      if (!isPassing(error) || tries >= TRIES_MAX) throw error;
      await pace.pause(signal, 500 * 2 ** tries);
    }
  }
}

async function watch(
  reply: Reply,
  identity: Identity,
  signal: AbortSignal,
  save: () => Promise<void>,
): Promise<JobView | undefined> {
  const canister = await jobs(reply.shard, identity);
  const job = BigInt(reply.job ?? 0);
  const pace = new Pace();
  // What was heard before a reload is read again: the text on the page and the cursor must belong together.
  let failures = 0;
  for (;;) {
    if (signal.aborted) return undefined;
    try {
      const chunk = ok("job", await canister.stream({ job, round: reply.round, cursor: BigInt(reply.cursor) }));
      failures = 0;
      delete reply.trouble;
      if (chunk.round !== reply.round) {
        // That generation was given up, and another begins.
        if (!reply.stopped) reply.text = "";
        reply.round = chunk.round;
        reply.cursor = 0;
      }
      const next = Number(chunk.cursor);
      // One node may lag behind another: what was read already does not come twice.
      if (chunk.text !== "" && next > reply.cursor) {
        reply.firstMs ??= Date.now() - reply.created;
        if (!reply.stopped) reply.text += chunk.text;
        reply.cursor = next;
        pace.busy();
      } else pace.quiet();
      reply.phase = PHASES[tag(chunk.state)] ?? reply.phase;
      if (isEnded(chunk.state)) return ok("job", await canister.job(job));
      if (chunk.text !== "") await save();
    } catch (error) {
      if (!isPassing(error)) throw error;
      failures++;
      reply.trouble = trouble(error);
      pace.quiet();
    }
    await pace.pause(signal, failures > 0 ? Math.min(500 * 2 ** failures, 15_000) : pace.ms);
  }
}

function settle(reply: Reply, view: JobView): void {
  const verdict = opt(view.verdict);
  const answer = opt(view.answer);
  const usage = opt(view.usage);
  const last = view.history.at(-1);
  const outcome = (verdict === undefined ? tag(view.state) : tag(verdict)).toLowerCase() as Outcome;
  const ending: Ending = {
    outcome,
    reason: last === undefined ? "" : tag(last.reason),
    ...(answer === undefined ? {} : { finish: "Stop" in answer.finish ? ("stop" as const) : ("length" as const) }),
    inputTokens: usage?.input_tokens ?? 0,
    outputTokens: usage?.output_tokens ?? 0,
    escrow: view.escrow,
    sponsored: view.sponsored,
    paid: view.paid,
    fee: view.fee,
    refund: view.refund,
  };
  reply.ending = ending;
  const ended = opt(view.ended_at);
  if (ended !== undefined) reply.endMs = Number((ended - view.submitted_at) / 1_000_000n);
  reply.phase = "ended";
  const root = opt(view.result_root);
  if (root !== undefined) reply.root = hex(root);
  if (answer !== undefined) {
    // A stopped answer stays as it was when the person stopped it, until the rest is asked for.
    if (reply.stopped && answer.text !== reply.text) reply.whole = answer.text;
    else reply.text = answer.text;
    reply.tokens = {
      input: Uint32Array.from(answer.input_tokens),
      output: Uint32Array.from(answer.output_tokens),
      traceRoot: Uint8Array.from(answer.trace_root),
    };
  }
}

async function prove(reply: Reply, view: JobView, identity: Identity, signal: AbortSignal): Promise<void> {
  try {
    const certified = await receipt(reply, identity, signal);
    const proof = await verify(certified, env().rootKey, false);
    await contradict(certified, view, reply);
    await keepReceipt(certified);
    reply.proof = { kind: "proven", hash: proof.hash, signedAt: proof.signedAt, checkedAt: Date.now() };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    reply.proof = { kind: "refused", step: error instanceof NotProven ? error.step : "fetch", message: message.slice(0, 500) };
  }
}

async function receipt(reply: Reply, identity: Identity, signal: AbortSignal): Promise<CertifiedReceipt> {
  const canister = await jobs(reply.shard, identity);
  const pace = new Pace();
  const end = Date.now() + RECEIPT_MS_MAX;
  for (;;) {
    try {
      return ok("job", await canister.receipt(BigInt(reply.job ?? 0)));
    } catch (error) {
      const early = error instanceof Refusal && "NoReceiptYet" in error.variant;
      if ((!early && !isPassing(error)) || Date.now() > end || signal.aborted) throw error;
      await pace.pause(signal, 300);
    }
  }
}

/** Fetches and checks the receipt once more, for a reply whose proof was refused or lost. */
export async function proveAgain(reply: Reply, identity: Identity): Promise<void> {
  reply.proof = { kind: "checking" };
  const canister = await jobs(reply.shard, identity);
  try {
    const view = ok("job", await canister.job(BigInt(reply.job ?? 0)));
    await prove(reply, view, identity, new AbortController().signal);
  } catch (error) {
    reply.proof = { kind: "refused", step: "fetch", message: error instanceof Error ? error.message : String(error) };
  }
}

/** The job as it was shown must be the one that the receipt certifies. */
async function contradict(certified: CertifiedReceipt, view: JobView, reply: Reply): Promise<void> {
  const { receipt } = certified;
  const differs = (what: string) => new NotProven("answer", `the receipt names another ${what} than the page was told`);
  if (receipt.job !== view.id || receipt.canister.toText() !== reply.shard) throw differs("job");
  if (tag(receipt.state) !== tag(view.state)) throw differs("state");
  const verdicts = [opt(receipt.verdict), opt(view.verdict)].map((verdict) => (verdict === undefined ? "" : tag(verdict)));
  if (verdicts[0] !== verdicts[1]) throw differs("verdict");
  const answer = opt(view.answer);
  const result = opt(receipt.result);
  if (answer === undefined) return;
  const bytes = opt(answer.embedding) ?? utf8(answer.text);
  if (!equal(result && Uint8Array.from(result.answer_sha256), await sha256(Uint8Array.from(bytes)))) throw differs("answer");
  const root = opt(view.result_root);
  if (!equal(result && Uint8Array.from(result.root), root && Uint8Array.from(root))) throw differs("result root");
  if (receipt.refund !== view.refund || receipt.fee + receipt.royalty !== view.fee) throw differs("refund");
}
