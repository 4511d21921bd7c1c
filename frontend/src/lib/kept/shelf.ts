// This browser's side of sealed copies: chats out of the database, chats into it, and what is known of each copy.
import { chats } from "../chat/chats.svelte.ts";
import { arrived, receiptIdOf, writeChats, type Portable } from "../chat/portable.ts";
import type { Chat, Turn } from "../chat/types.ts";
import { database, type Database, type KeptCopy } from "../store/db.ts";
import { comesIn, inPlaceOf, isUnderWay, merge, remembered, wasDeleted } from "./merge.ts";

/** What came of taking a chat in. */
export interface Taken {
  /** Whether it was not here before. */
  fresh: boolean;
  /** Whether there is less there than here. */
  send: boolean;
}

/** What an exchange knows of a chat that it takes in. */
export interface Known {
  /** Under which id its copy is remembered. */
  copy: string;
  /** Whether the chat was here when the exchange began. */
  here: boolean;
  /** Whether it has changes that did not go there. */
  changed: boolean;
}

export interface Shelf {
  /** All chats that were not deleted, and those whose deletion can be taken back. */
  chats(): Promise<Chat[]>;
  /** When each changed last. */
  changes(): Promise<Map<string, number>>;
  /** What is known of copies at a keeper, by their names there. */
  copies(keeper: string): Promise<Map<string, KeptCopy>>;
  /** Gives what is remembered. */
  remember(copy: KeptCopy): Promise<KeptCopy>;
  forget(copy: KeptCopy): Promise<void>;
  /** A chat as text; nothing while an answer is under way, or where it is no longer here. */
  text(chat: string): Promise<string | undefined>;
  /** Joins a chat that came with what is here; nothing where it was deleted here, perhaps a moment ago. */
  take(file: Portable, known: Known): Promise<Taken | undefined>;
}

/** Nothing where the browser has no database for us. */
export async function shelf(): Promise<Shelf | undefined> {
  const db = await database();
  return db && new Stored(db);
}

class Stored implements Shelf {
  constructor(readonly db: Database) {}

  chats(): Promise<Chat[]> {
    return this.db.getAll("chats");
  }

  async changes(): Promise<Map<string, number>> {
    const tx = this.db.transaction("changes");
    const [names, times] = await Promise.all([tx.store.getAllKeys(), tx.store.getAll()]);
    return new Map(names.map((name, at) => [name, times[at] ?? 0]));
  }

  async copies(keeper: string): Promise<Map<string, KeptCopy>> {
    const begin = `${keeper}/`;
    const found = await this.db.getAll("copies", IDBKeyRange.bound(begin, `${begin}\uffff`));
    return new Map(found.map((copy) => [copy.id.slice(begin.length), copy]));
  }

  async remember(copy: KeptCopy): Promise<KeptCopy> {
    const tx = this.db.transaction(["chats", "copies"], "readwrite");
    const copies = tx.objectStore("copies");
    const isHere = (await tx.objectStore("chats").getKey(copy.chat)) !== undefined;
    const kept = remembered(await copies.get(copy.id), copy, isHere);
    await copies.put(kept);
    await tx.done;
    return kept;
  }

  async forget({ id }: KeptCopy): Promise<void> {
    await this.db.delete("copies", id);
  }

  async text(id: string): Promise<string | undefined> {
    const chat = await this.db.get("chats", id);
    const turns = await this.db.getAllFromIndex("turns", "chat", id);
    if (chat === undefined || chat.deleted !== undefined || isUnderWay(turns)) return undefined;
    const replies = turns.filter((turn) => turn.role === "assistant").filter(({ job }) => job !== undefined);
    const receipts = await Promise.all(replies.map((reply) => this.db.get("receipts", receiptIdOf(reply))));
    // What is typed and not sent stays on this device.
    return writeChats({ chats: [{ ...chat, draft: "" }], turns, receipts: receipts.filter((receipt) => receipt !== undefined) });
  }

  async take(file: Portable, known: Known): Promise<Taken | undefined> {
    const [chat] = file.chats;
    if (chat === undefined) return undefined;
    // Receipts are checked before the transaction, which would not wait for that.
    const present = new Map((await this.db.getAllFromIndex("turns", "chat", chat.id)).map((turn) => [turn.id, turn]));
    const receipts = new Map(file.receipts.map((receipt) => [receipt.id, receipt]));
    const ready = new Map<string, Turn>();
    for (const turn of file.turns) if (comesIn(present.get(turn.id), turn, true)) ready.set(turn.id, await arrived(turn, receipts));

    const tx = this.db.transaction(["chats", "turns", "receipts", "copies"], "readwrite");
    const here = await tx.objectStore("chats").get(chat.id);
    const copy = await tx.objectStore("copies").get(known.copy);
    if (wasDeleted(here, copy, known)) return undefined;
    const turns = await tx.objectStore("turns").index("chat").getAll(chat.id);
    const merged = merge(here && { chat: here, turns }, { chat, turns: file.turns }, known.changed);
    const before = new Map(turns.map((turn) => [turn.id, turn]));
    const come = merged.turns.flatMap((turn) => inPlaceOf(before.get(turn.id), ready.get(turn.id)));
    if (merged.chat !== undefined) await tx.objectStore("chats").put(merged.chat);
    for (const turn of come) await tx.objectStore("turns").put(turn);
    const kept = tx.objectStore("receipts");
    for (const receipt of file.receipts) if ((await kept.getKey(receipt.id)) === undefined) await kept.put(receipt);
    await tx.done;
    chats.arrive(merged.chat, come);
    return { fresh: here === undefined, send: merged.send };
  }
}

/** From now on every copy counts as never seen: all that is there comes in, all that is missing there goes out. */
export async function beginAnew(): Promise<void> {
  await revise((copy) => (copy.state === "gone" ? copy : undefined));
}

/** What did not open counts as never seen. */
export async function forgetSealed(): Promise<void> {
  await revise((copy) => (copy.state === "sealed" ? undefined : copy));
}

/** With another key: what did not open is tried again, and what did is sealed anew. */
export async function useNewKey(): Promise<void> {
  await revise((copy) => (copy.state === "sealed" ? undefined : { ...copy, sent: -1 }));
}

async function revise(change: (copy: KeptCopy) => KeptCopy | undefined): Promise<void> {
  const tx = (await database())?.transaction("copies", "readwrite");
  if (tx === undefined) return;
  for (const copy of await tx.store.getAll()) {
    const changed = change(copy);
    await (changed === undefined ? tx.store.delete(copy.id) : tx.store.put(changed));
  }
  await tx.done;
}

/** Nothing lies at this keeper any more. */
export async function forgetAll(keeper: string): Promise<void> {
  const begin = `${keeper}/`;
  await (await database())?.delete("copies", IDBKeyRange.bound(begin, `${begin}\uffff`));
}
