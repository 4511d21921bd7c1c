// One exchange of sealed copies: what was deleted here goes there, what is newer there comes in, what changed here goes out.
// A chat that is missing there stays here, and a copy that the key does not open stays there.
import { hex, unhex } from "../bytes.ts";
import { parseChats, type Portable } from "../chat/portable.ts";
import { KEPT_AT_ONCE, SEALED_BYTES_MAX } from "../limits.ts";
import type { KeptCopy } from "../store/db.ts";
import { each } from "./each.ts";
import type { Keeper, Line } from "./keeper.ts";
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

interface Desk {
  keeper: Keeper;
  shelf: Shelf;
  key: CryptoKey;
  /** What lies there, by name. */
  lines: Map<string, Line>;
  copies: Map<string, KeptCopy>;
  report: (progress: Progress) => void;
  /** Throws where there shall be no next step. */
  check: () => void;
}

export async function exchange(parts: Omit<Desk, "lines" | "copies">, list: Line[]): Promise<Outcome> {
  const copies = await parts.shelf.copies(parts.keeper.id);
  const desk: Desk = { ...parts, copies, lines: new Map(list.map((line) => [line.name, line])) };
  await dropDeleted(desk);
  const fresh = await takeNewer(desk);
  const large = await sendChanged(desk);
  const sealed = [...desk.lines.keys()].filter((name) => desk.copies.get(name)?.state === "sealed");
  return { count: desk.lines.size, sealed: sealed.length, large, fresh };
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
  const { shelf, lines, copies, report, check } = desk;
  const newer = [...lines.values()].filter(({ name, at }) => at > (copies.get(name)?.at ?? -1n));
  if (newer.length === 0) return 0;
  const deleted = new Set((await shelf.chats()).filter((chat) => chat.deleted !== undefined).map(({ id }) => id));
  const changes = await shelf.changes();
  let done = 0;
  let fresh = 0;
  await each(newer, KEPT_AT_ONCE, async (line) => {
    check();
    if (await takeOne(desk, line, deleted, changes)) fresh++;
    report({ what: "take", done: ++done, all: newer.length });
  });
  return fresh;
}

/** Whether the chat was not here before. */
async function takeOne(desk: Desk, { name, at }: Line, deleted: Set<string>, changes: Map<string, number>): Promise<boolean> {
  const { keeper, shelf, key, copies } = desk;
  const bytes = await keeper.fetch(name);
  if (bytes === undefined) return false;
  const file = await read(await open(key, placeOf(keeper, name), bytes), name);
  const [chat] = file?.chats ?? [];
  if (file === undefined || chat === undefined) {
    await remember(desk, name, { chat: "", at, sent: -1, state: "sealed" });
    return false;
  }
  const changed = changes.get(chat.id) ?? 0;
  const before = copies.get(name);
  // Deleted a moment ago: when that can no longer be taken back, it is dropped there, too.
  const taken = deleted.has(chat.id) ? undefined : await shelf.take(file, before !== undefined && changed > before.sent);
  await remember(desk, name, { chat: chat.id, at, sent: taken?.send ? -1 : changed, state: "kept" });
  return taken?.fresh ?? false;
}

async function remember({ keeper, shelf, copies }: Desk, name: string, known: Omit<KeptCopy, "id">): Promise<void> {
  const copy = { id: `${keeper.id}/${name}`, ...known };
  copies.set(name, copy);
  await shelf.remember(copy);
}

/** A file with the one chat of this name, and what belongs to it. */
async function read(text: string | undefined, name: string): Promise<Portable | undefined> {
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
  await each(due, KEPT_AT_ONCE, async ({ chat, name, changed }) => {
    check();
    await sendOne(desk, chat.id, name, changed);
    report({ what: "send", done: ++done, all: due.length });
  });
  return named.filter(({ name }) => copies.get(name)?.state === "large").map(({ chat }) => chat.title);
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
