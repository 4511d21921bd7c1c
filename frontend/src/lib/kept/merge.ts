// What becomes of a chat that is here and, as a copy, there. Turns of both stay; of the rest what changed later wins.
import { newestLeaf } from "../chat/tree.ts";
import type { Chat, Turn } from "../chat/types.ts";
import { KEPT_DAYS } from "../limits.ts";
import type { KeptCopy } from "../store/db.ts";

/** A chat with everything that was said in it. */
export interface Whole {
  chat: Chat;
  turns: Turn[];
}

export interface Merged {
  /** The chat as it shall be here; nothing where it stays as it is. */
  chat: Chat | undefined;
  /** Turns that come in. */
  turns: Turn[];
  /** Whether there is less there than here. */
  send: boolean;
}

const DAY_NANOS = 86_400_000_000_000n;

/** `changed` says that the chat here has changes that did not go there: they win where both are equally late. */
export function merge(here: Whole | undefined, there: Whole, changed: boolean): Merged {
  const { deleted: _, ...chat } = there.chat;
  if (here === undefined) return { chat: { ...chat, draft: "" }, turns: there.turns, send: false };
  const known = new Map(here.turns.map((turn) => [turn.id, turn]));
  const copied = new Map(there.turns.map((turn) => [turn.id, turn]));
  const theirs = isLater(chat.updated, here.chat.updated, !changed);
  const turns = there.turns.filter((turn) => comesIn(known.get(turn.id), turn, theirs));
  const joined = join(here.chat, chat, theirs, new Map([...known, ...turns.map((turn) => [turn.id, turn] as const)]));
  const more = here.turns.some((turn) => {
    const copy = copied.get(turn.id);
    return copy === undefined || ((said(turn) !== said(copy) || provesMore(turn, copy)) && !comesIn(turn, copy, theirs));
  });
  return { chat: alike(joined, here.chat) ? undefined : joined, turns, send: more || !alike(joined, chat) };
}

/** Title and pin of where they changed later, and the branch of where the later turn was added or chosen, down to its newest turn. */
function join(here: Chat, there: Chat, theirs: boolean, turns: ReadonlyMap<string, Turn>): Chat {
  const { title, named, pinned, touched } = isLater(there.touched ?? 0, here.touched ?? 0, theirs) ? there : here;
  const { leaf, chosen } = isLater(branchAt(there), branchAt(here), theirs) ? there : here;
  const updated = Math.max(here.updated, there.updated);
  return { ...here, title, named, pinned, touched, chosen, updated, leaf: newestLeaf(turns, leaf) };
}

const isLater = (a: number, b: number, equal: boolean): boolean => (a === b ? equal : a > b);
const branchAt = ({ updated, chosen = 0 }: Chat): number => Math.max(updated, chosen);

/**
 * Whether a turn of the copy takes the place of what is here. One that ended goes before one that failed, and with the same words
 * one that is proven before one that is not; the rest as the chat.
 */
export function comesIn(here: Turn | undefined, there: Turn, theirs: boolean): boolean {
  if (here === undefined) return true;
  if (isUnderWay([here])) return false;
  if (said(here) === said(there)) return provesMore(there, here) && !isChecking(here);
  if (here.role !== "assistant" || there.role !== "assistant" || here.phase === there.phase) return theirs;
  return there.phase === "ended" || (here.phase !== "ended" && theirs);
}

/** A copy's word about its proof is only heard: its receipt is checked when it comes in. */
function provesMore(one: Turn, other: Turn): boolean {
  return one.role === "assistant" && other.role === "assistant" && one.proof.kind === "proven" && other.proof.kind !== "proven";
}

const isChecking = (turn: Turn): boolean => turn.role === "assistant" && turn.proof.kind === "checking";

function alike(a: Chat, b: Chat): boolean {
  const rest = ({ title, named, pinned, touched, chosen, updated, leaf }: Chat): string =>
    JSON.stringify([title, named, pinned, touched, chosen, updated, leaf]);
  return rest(a) === rest(b);
}

function said(turn: Turn): string {
  return turn.role === "user" ? turn.text : JSON.stringify([turn.phase, turn.stopped, turn.text, turn.whole]);
}

/** Whether an answer of these is still under way. */
export function isUnderWay(turns: Turn[]): boolean {
  return turns.some((turn) => turn.role === "assistant" && turn.open === 1 && turn.phase !== "failed");
}

/** Whether a chat goes there: it never did, it changed since, or the copy grows old. `listed` is the copy's time, if it is there. */
export function isDue(copy: KeptCopy | undefined, changed: number, listed: bigint | undefined, now: number): boolean {
  if (copy === undefined) return true;
  if (copy.state === "sealed" || copy.state === "gone") return false;
  // Not whether it is later: somebody may have set the clock back.
  if (changed !== copy.sent) return true;
  return listed !== undefined && BigInt(now) * 1_000_000n - listed > BigInt(KEPT_DAYS) * DAY_NANOS;
}

/** Whether a chat whose copy comes in was deleted here, be it while the copy was fetched. */
export function wasDeleted(here: Chat | undefined, copy: KeptCopy | undefined, known: { here: boolean }): boolean {
  return here?.deleted !== undefined || copy?.state === "gone" || (known.here && here === undefined);
}

/**
 * What comes in for a turn that stands here. With the same words only a proof that held does, and what this device found when it
 * ran the answer again stays.
 */
export function inPlaceOf(here: Turn | undefined, come: Turn | undefined): Turn[] {
  if (come === undefined) return [];
  if (here?.role !== "assistant" || come.role !== "assistant" || said(here) !== said(come)) return [come];
  return provesMore(come, here) ? [{ ...come, rerun: here.rerun }] : [];
}

/** What is remembered of a copy: that its chat was deleted here is not forgotten until it is deleted there. */
export function remembered(before: KeptCopy | undefined, copy: KeptCopy, isHere: boolean): KeptCopy {
  const gone = before?.state === "gone" || (copy.chat !== "" && !isHere);
  return gone ? { ...copy, chat: before?.chat || copy.chat, state: "gone" } : copy;
}
