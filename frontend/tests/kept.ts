// A canister and a browser's database in memory, and what chats are made of in tests of sealed copies.
import { writeChats, type Portable } from "../src/lib/chat/portable.ts";
import type { Chat, Reply, Turn } from "../src/lib/chat/types.ts";
import { Refusal } from "../src/lib/ic/errors.ts";
import { exchange, type Outcome, type Parts } from "../src/lib/kept/exchange.ts";
import type { Copy, Keeper, Line } from "../src/lib/kept/keeper.ts";
import { inPlaceOf, isUnderWay, merge, remembered, wasDeleted } from "../src/lib/kept/merge.ts";
import type { Known, Shelf, Taken } from "../src/lib/kept/shelf.ts";
import type { KeptCopy } from "../src/lib/store/db.ts";

export const ID = "0f8fad5b-d9cb-469f-a165-70867728950e";
export const SECRET = "Wie heißt die Hauptstadt von Frankreich? 🗼";

export const chat = (more: Partial<Chat> = {}): Chat => ({ id: ID, title: "t", named: false, pinned: false, created: 1, updated: 1, leaf: "q", draft: "", ...more });
export const question = (id = "q", text = SECRET, of = ID): Turn => ({ id, chat: of, parent: "", created: 1, role: "user", text });
export const reply = (more: Partial<Reply> = {}): Reply => ({
  id: "a", chat: ID, parent: "q", created: 2, role: "assistant", text: "Paris", place: "network", model: "m", phase: "ended", open: 0,
  stopped: false, round: 0, cursor: 0, proof: { kind: "none" }, left: 0, ...more,
});

/** A canister in memory. */
export class Cans implements Keeper {
  canister = Uint8Array.of(1);
  owner = Uint8Array.of(2);
  id = "c/o";
  kept = new Map<string, { bytes: Uint8Array; at: bigint }>();
  calls: string[] = [];
  /** Whether there is room for it. */
  takes: (name: string, bytes: Uint8Array) => boolean = () => true;
  /** What happens elsewhere while a copy is fetched. */
  meanwhile: () => Promise<void> | void = () => undefined;
  #now = BigInt(Date.now()) * 1_000_000n;

  async list(): Promise<Line[]> {
    return [...this.kept].map(([name, { bytes, at }]) => ({ name, bytes: bytes.length, at }));
  }
  async fetch(name: string): Promise<Copy | undefined> {
    this.calls.push("fetch");
    await this.meanwhile();
    const found = this.kept.get(name);
    return found && { sealed: found.bytes, at: found.at };
  }
  async keep(name: string, bytes: Uint8Array): Promise<Line> {
    this.calls.push("keep");
    if (!this.takes(name, bytes)) throw new Refusal("chats", { Full: { what: "your chats", max: 1n } });
    this.kept.set(name, { bytes, at: ++this.#now });
    return { name, bytes: bytes.length, at: this.#now };
  }
  async drop(name: string): Promise<void> {
    this.calls.push("drop");
    this.kept.delete(name);
  }
  async dropAll(): Promise<void> {
    this.kept.clear();
  }
}

/** A browser's database in memory. */
export class Browser implements Shelf {
  wholes = new Map<string, { chat: Chat; turns: Turn[] }>();
  times = new Map<string, number>();
  known = new Map<string, KeptCopy>();
  #now = 0;

  constructor(readonly key: CryptoKey) {}

  put(found: Chat, turns: Turn[]): void {
    this.wholes.set(found.id, { chat: found, turns });
    this.times.set(found.id, ++this.#now);
  }
  erase(id: string): void {
    this.wholes.delete(id);
    for (const copy of this.known.values()) if (copy.chat === id) copy.state = "gone";
  }
  async chats(): Promise<Chat[]> {
    return [...this.wholes.values()].map((whole) => whole.chat);
  }
  async changes(): Promise<Map<string, number>> {
    return new Map(this.times);
  }
  async copies(keeper: string): Promise<Map<string, KeptCopy>> {
    return new Map([...this.known].map(([id, copy]) => [id.slice(keeper.length + 1), copy]));
  }
  async remember(copy: KeptCopy): Promise<KeptCopy> {
    const kept = remembered(this.known.get(copy.id), copy, this.wholes.has(copy.chat));
    this.known.set(copy.id, kept);
    return kept;
  }
  async forget({ id }: KeptCopy): Promise<void> {
    this.known.delete(id);
  }
  async text(id: string): Promise<string | undefined> {
    const whole = this.wholes.get(id);
    return whole && !isUnderWay(whole.turns) ? writeChats({ chats: [whole.chat], turns: whole.turns, receipts: [] }) : undefined;
  }
  async take({ chats: [found], turns }: Portable, known: Known): Promise<Taken | undefined> {
    const there = { chat: found as Chat, turns };
    const here = this.wholes.get(there.chat.id);
    if (wasDeleted(here?.chat, this.known.get(known.copy), known)) return undefined;
    const merged = merge(here, there, known.changed);
    const before = new Map(here?.turns.map((turn) => [turn.id, turn]));
    const come = merged.turns.flatMap((turn) => inPlaceOf(before.get(turn.id), turn));
    const all = new Map([...before.values(), ...come].map((turn) => [turn.id, turn]));
    this.wholes.set(there.chat.id, { chat: merged.chat ?? (here as { chat: Chat }).chat, turns: [...all.values()] });
    return { fresh: here === undefined, send: merged.send };
  }
  async meet(keeper: Keeper, check = (): void => undefined): Promise<Outcome> {
    return exchange(this.parts(keeper, check), await keeper.list());
  }
  parts(keeper: Keeper, check = (): void => undefined): Parts {
    return { keeper, shelf: this, key: this.key, report: () => undefined, check };
  }
}
