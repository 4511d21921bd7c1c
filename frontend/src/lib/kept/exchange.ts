// One exchange of sealed copies: what was deleted here goes there, what is newer there comes in, what changed here goes out.
// A chat that is missing there stays here, and a copy that the key does not open stays there.
import { hex, unhex } from "../bytes.ts";
import { parseChats, type Portable } from "../chat/portable.ts";
import { Refusal } from "../ic/errors.ts";
import { FULL_TRIES_MAX, KEPT_AT_ONCE, SEALED_BYTES_MAX } from "../limits.ts";
import type { KeptCopy } from "../store/db.ts";
import { each } from "./each.ts";
import type { Copy, Keeper, Line } from "./keeper.ts";
import { isDue } from "./merge.ts";
import { nameOf, open, seal, type Place } from "./seal.ts";
import type { Shelf } from "./shelf.ts";

export interface Progress {
  what: "take" | "send";
  done: number;
  all: number;
}

/** How things stand afterwards. */
export interface Outcome {
  /** Copies that lie there. */
  count: number;
  /** Those that the key does not open. */
  sealed: number;
  /** Titles of chats that are too large to go there. */
  large: string[];
  /** Chats that were not here before. */
  fresh: number;
}

export interface Parts {
  keeper: Keeper;
  shelf: Shelf;
  key: CryptoKey;
  report: (progress: Progress) => void;
  /** Throws where there shall be no next step. */
  check: () => void;
}

interface Desk extends Parts {
  /** What lies there, by name. */
  lines: Map<string, Line>;
  copies: Map<string, KeptCopy>;
}

/** What was here before anything came in. */
interface Before {
  chats: Set<string>;
  changes: Map<string, number>;
}

export async function exchange(parts: Parts, list: Line[]): Promise<Outcome> {
  const copies = await parts.shelf.copies(parts.keeper.id);
  const desk: Desk = { ...parts, copies, lines: new Map(list.map((line) => [line.name, line])) };
  await dropDeleted(desk);
  const fresh = await takeNewer(desk);
  const large = await sendChanged(desk);
  const sealed = [...desk.lines.keys()].filter((name) => desk.copies.get(name)?.state === "sealed");
  return { count: desk.lines.size, sealed: sealed.length, large, fresh };
}

/** Drops what the key does not open, each after another look at it: a node may have given something else. What opens now comes in. */
export async function dropSealed(parts: Parts): Promise<void> {
  const { keeper, shelf, check } = parts;
  const desk: Desk = { ...parts, copies: await shelf.copies(keeper.id), lines: new Map() };
  const before = await lookAround(desk);
  const closed = [...desk.copies].filter(([, { state }]) => state === "sealed");
  await each(closed, KEPT_AT_ONCE, async ([name, copy]) => {
    check();
    const found = await keeper.fetch(name);
    if (found === undefined) return;
    const file = await read(desk, name, found);
    if (file !== undefined) return void (await takeIn(desk, name, file, found.at, before));
    await keeper.drop(name);
    await shelf.forget(copy);
  });
}

export function placeOf(keeper: Keeper, name: string): Place {
  return { canister: keeper.canister, owner: keeper.owner, name: unhex(name) ?? new Uint8Array() };
}

async function dropDeleted({ keeper, shelf, lines, copies, check }: Desk): Promise<void> {
  const deleted = [...copies].filter(([, { state }]) => state === "gone");
  await each(deleted, KEPT_AT_ONCE, async ([name, copy]) => {
    check();
    await keeper.drop(name);
    await shelf.forget(copy);
    copies.delete(name);
    lines.delete(name);
  });
}

/** Gives how many chats were not here before. */
async function takeNewer(desk: Desk): Promise<number> {
  const { lines, copies, report, check } = desk;
  // Not only what is later: nobody vouches for the times in a list.
  const newer = [...lines.values()].filter(({ name, at }) => at !== copies.get(name)?.at);
  if (newer.length === 0) return 0;
  const before = await lookAround(desk);
  let done = 0;
  let fresh = 0;
  await each(newer, KEPT_AT_ONCE, async ({ name }) => {
    check();
    if (await takeOne(desk, name, before)) fresh++;
    report({ what: "take", done: ++done, all: newer.length });
  });
  return fresh;
}

async function lookAround({ shelf }: Desk): Promise<Before> {
  const [chats, changes] = await Promise.all([shelf.chats(), shelf.changes()]);
  return { chats: new Set(chats.map(({ id }) => id)), changes };
}

/** Whether the chat was not here before. */
async function takeOne(desk: Desk, name: string, before: Before): Promise<boolean> {
  const found = await desk.keeper.fetch(name);
  // The node that gave the list may be behind the one that gave this.
  if (found === undefined || found.at === desk.copies.get(name)?.at) return false;
  const file = await read(desk, name, found);
  if (file !== undefined) return takeIn(desk, name, file, found.at, before);
  await remember(desk, name, { chat: "", at: found.at, sent: -1, state: "sealed" });
  return false;
}

/** Whether the chat was not here before. */
async function takeIn(desk: Desk, name: string, file: Single, at: bigint, before: Before): Promise<boolean> {
  const { shelf, copies } = desk;
  const chat = file.chats[0].id;
  const known = copies.get(name);
  const change = before.changes.get(chat) ?? 0;
  const changed = known !== undefined && change !== known.sent;
  const taken = await shelf.take(file, { copy: idOf(desk, name), here: before.chats.has(chat), changed });
  // Deleted here: once that cannot be taken back, it is dropped there, too. Until then this copy counts as not seen.
  const seen = taken === undefined ? -1n : at;
  await remember(desk, name, { chat, at: seen, sent: taken?.send ? -1 : change, state: "kept" });
  return taken?.fresh ?? false;
}

async function remember(desk: Desk, name: string, known: Omit<KeptCopy, "id">): Promise<void> {
  desk.copies.set(name, await desk.shelf.remember({ id: idOf(desk, name), ...known }));
}

const idOf = ({ keeper }: Desk, name: string): string => `${keeper.id}/${name}`;

/** A file with one chat. */
type Single = Portable & { chats: [Portable["chats"][number]] };

/** What a copy holds, if it opens and is the chat of this name: that chat, and what belongs to it. */
async function read({ keeper, key }: Desk, name: string, { sealed }: Copy): Promise<Single | undefined> {
  const text = await open(key, placeOf(keeper, name), sealed);
  const file = text === undefined ? undefined : parseChats(text);
  const [chat] = file?.chats ?? [];
  if (file === undefined || chat === undefined || hex(await nameOf(chat.id)) !== name) return undefined;
  return { ...file, chats: [chat], turns: file.turns.filter((turn) => turn.chat === chat.id) };
}

/** Gives the titles of chats that are too large. */
async function sendChanged(desk: Desk): Promise<string[]> {
  const { shelf, lines, copies, report, check } = desk;
  const changes = await shelf.changes();
  const all = (await shelf.chats()).filter(({ deleted, leaf }) => deleted === undefined && leaf !== "");
  const named = await Promise.all(all.map(async (chat) => ({ chat, name: hex(await nameOf(chat.id)), changed: changes.get(chat.id) ?? 0 })));
  const due = named
    .filter(({ name, changed }) => isDue(copies.get(name), changed, lines.get(name)?.at, Date.now()))
    .sort((a, b) => b.chat.updated - a.chat.updated);
  let done = 0;
  let full = 0;
  await each(
    due,
    KEPT_AT_ONCE,
    async ({ chat, name, changed }) => {
      check();
      // A smaller one may still fit, and what takes the place of a copy often does.
      if (full >= FULL_TRIES_MAX && !lines.has(name)) return;
      await sendOne(desk, chat.id, name, changed).catch((error: unknown) => {
        if (isFull(error)) full++;
        throw error;
      });
      report({ what: "send", done: ++done, all: due.length });
    },
    isFull,
  );
  return named.filter(({ name }) => copies.get(name)?.state === "large").map(({ chat }) => chat.title);
}

function isFull(error: unknown): boolean {
  return error instanceof Refusal && "Full" in error.variant;
}

async function sendOne(desk: Desk, chat: string, name: string, changed: number): Promise<void> {
  const { keeper, shelf, key, lines, copies } = desk;
  const text = await shelf.text(chat);
  if (text === undefined) return;
  const sealed = await seal(key, placeOf(keeper, name), text);
  if (sealed.length > SEALED_BYTES_MAX) {
    return remember(desk, name, { chat, at: copies.get(name)?.at ?? -1n, sent: changed, state: "large" });
  }
  const line = await keeper.keep(name, sealed);
  lines.set(name, line);
  await remember(desk, name, { chat, at: line.at, sent: changed, state: "kept" });
}
