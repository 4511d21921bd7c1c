// What becomes of a chat that is here and, as a copy, there. Turns of both stay; of the rest of a chat the later `updated` wins.
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
  const theirs = chat.updated > here.chat.updated || (chat.updated === here.chat.updated && !changed);
  const turns = there.turns.filter((turn) => comesIn(known.get(turn.id), turn, theirs));
  const same = alike(here.chat, chat);
  const more = here.turns.some((turn) => {
    const copy = copied.get(turn.id);
    return copy === undefined || (said(turn) !== said(copy) && !comesIn(turn, copy, theirs));
  });
  return { chat: theirs && !same ? { ...chat, draft: here.chat.draft } : undefined, turns, send: more || (!theirs && !same) };
}

/** Whether a turn of the copy takes the place of what is here. One that ended goes before one that failed; the rest as the chat. */
export function comesIn(here: Turn | undefined, there: Turn, theirs: boolean): boolean {
  if (here === undefined) return true;
  if (isUnderWay([here]) || said(here) === said(there)) return false;
  if (here.role !== "assistant" || there.role !== "assistant" || here.phase === there.phase) return theirs;
  return there.phase === "ended" || (here.phase !== "ended" && theirs);
}

function alike(a: Chat, b: Chat): boolean {
  return a.title === b.title && a.named === b.named && a.pinned === b.pinned && a.leaf === b.leaf && a.updated === b.updated;
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
  if (changed > copy.sent) return true;
  return listed !== undefined && BigInt(now) * 1_000_000n - listed > BigInt(KEPT_DAYS) * DAY_NANOS;
}
