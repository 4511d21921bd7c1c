// A conversation: a tree of turns, of which one path is shown. Nothing in it is ever overwritten by an edit.
import type { SubmitArgs } from "../ic/types.ts";
import type { ProofStep } from "../proof/certificate.ts";

export interface Chat {
  id: string;
  title: string;
  /** Whether a person named it. */
  named: boolean;
  pinned: boolean;
  created: number;
  /** When its last turn was added. */
  updated: number;
  /** When a person last changed title or pin, and when another branch was chosen, if ever. */
  touched?: number;
  chosen?: number;
  /** The last turn of the path that is shown; empty in a new chat. */
  leaf: string;
  draft: string;
  /** When it was deleted, until that can no longer be taken back. */
  deleted?: number;
}

interface TurnBase {
  id: string;
  chat: string;
  /** The turn before; empty for the first. */
  parent: string;
  created: number;
}

export interface Question extends TurnBase {
  role: "user";
  text: string;
}

/** Where an answer stands. */
export type Phase = "sending" | "queued" | "running" | "comparing" | "extended" | "ended" | "failed";

/** What went wrong, in a form that can be kept and told in any language. */
export interface Trouble {
  area: "submit" | "job" | "money" | "registry" | "worker" | "chats" | "call" | "device";
  name: string;
  detail: Record<string, string>;
}

export type Outcome = "verified" | "unverified" | "inconclusive" | "cancelled" | "expired" | "failed";

export interface Ending {
  outcome: Outcome;
  /** Why, as the canister's last change of state says. */
  reason: string;
  finish?: "stop" | "length";
  inputTokens: number;
  outputTokens: number;
  escrow: bigint;
  sponsored: bigint;
  paid: bigint;
  fee: bigint;
  refund: bigint;
}

export type ProofState =
  | { kind: "none" }
  | { kind: "checking" }
  | { kind: "proven"; hash: string; signedAt: number; checkedAt: number }
  | { kind: "refused"; step: ProofStep | "fetch"; message: string };

/** What came of running the answer again on this device. */
export type Rerun =
  | { kind: "same"; at: number; root: string; ms: number }
  | { kind: "differs"; at: number; position: number; expected?: number; found?: number; what: "token" | "end" | "root" };

export interface Reply extends TurnBase {
  role: "assistant";
  text: string;
  place: "network" | "device";
  /** The registered name. */
  model: string;
  phase: Phase;
  /** 1 while it has not ended, so that a later visit finds it. */
  open: 0 | 1;
  /** Whether a person stopped it. */
  stopped: boolean;
  /** What was answered all the same, behind the stop. */
  whole?: string;
  /** Who asked, and what was sent; the same words may be sent again. */
  owner?: string;
  args?: SubmitArgs;
  shard?: string;
  job?: string;
  round: number;
  cursor: number;
  trouble?: Trouble;
  ending?: Ending;
  proof: ProofState;
  rerun?: Rerun;
  /** What the model read and wrote, once it is known. */
  tokens?: { input: Uint32Array; output: Uint32Array; traceRoot: Uint8Array };
  /** The result root. */
  root?: string;
  /** The most that it may cost, by the quote. */
  quoted?: bigint;
  /** Milliseconds from the question to the first text, and from the submit to the end. */
  firstMs?: number;
  endMs?: number;
  /** Turns before the question that did not fit. */
  left: number;
}

export type Turn = Question | Reply;
