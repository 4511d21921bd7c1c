import { beforeAll, describe, expect, it } from "vitest";
import { hex, utf8 } from "../src/lib/bytes.ts";
import { parseChats, writeChats, type Portable } from "../src/lib/chat/portable.ts";
import type { Chat, Reply, Turn } from "../src/lib/chat/types.ts";
import { canisterOf } from "../src/lib/ic/env.ts";
import { each } from "../src/lib/kept/each.ts";
import { exchange, placeOf, type Outcome } from "../src/lib/kept/exchange.ts";
import type { Keeper, Line } from "../src/lib/kept/keeper.ts";
import { keyText, makeKey, readKey } from "../src/lib/kept/key.ts";
import { comesIn, isDue, isUnderWay, merge } from "../src/lib/kept/merge.ts";
import { nameOf, open, seal, type Place } from "../src/lib/kept/seal.ts";
import type { Shelf, Taken } from "../src/lib/kept/shelf.ts";
import { KEPT_DAYS, SEALED_BYTES_MAX } from "../src/lib/limits.ts";
import { readPrefs } from "../src/lib/prefs.svelte.ts";
import type { KeptCopy } from "../src/lib/store/db.ts";

const ID = "0f8fad5b-d9cb-469f-a165-70867728950e";
const SECRET = "Wie heißt die Hauptstadt von Frankreich? 🗼";

const chat = (more: Partial<Chat> = {}): Chat => ({ id: ID, title: "t", named: false, pinned: false, created: 1, updated: 1, leaf: "q", draft: "", ...more });
const question = (id = "q", text = SECRET, of = ID): Turn => ({ id, chat: of, parent: "", created: 1, role: "user", text });
const reply = (more: Partial<Reply> = {}): Reply => ({
  id: "a", chat: ID, parent: "q", created: 2, role: "assistant", text: "Paris", place: "network", model: "m", phase: "ended", open: 0,
  stopped: false, round: 0, cursor: 0, proof: { kind: "none" }, left: 0, ...more,
});

let key: CryptoKey;
const place = (more: Partial<Place> = {}): Place => ({ canister: Uint8Array.of(1, 2), owner: Uint8Array.of(3, 4, 5), name: new Uint8Array(16).fill(9), ...more });

beforeAll(async () => {
  key = await makeKey();
});

describe("a sealed chat", () => {
  it("opens with its key in its place, and shows nothing of its text", async () => {
    const sealed = await seal(key, place(), SECRET);
    expect(await open(key, place(), sealed)).toBe(SECRET);
    expect(sealed[0]).toBe(1);
    for (const word of SECRET.split(" ")) expect(hex(sealed)).not.toContain(hex(utf8(word)));
  });

  it("is packed, and differs each time", async () => {
    const long = "river ".repeat(10_000);
    const [one, other] = await Promise.all([seal(key, place(), long), seal(key, place(), long)]);
    expect(one.length).toBeLessThan(2_000);
    expect(hex(one.slice(1, 13))).not.toBe(hex(other.slice(1, 13)));
    expect(hex(one.slice(13))).not.toBe(hex(other.slice(13)));
    expect(await open(key, place(), one)).toBe(long);
  });

  it("does not open with another key", async () => {
    expect(await open(await makeKey(), place(), await seal(key, place(), SECRET))).toBeUndefined();
  });

  it.each<[string, Partial<Place>]>([
    ["chat", { name: new Uint8Array(16).fill(8) }],
    ["account", { owner: Uint8Array.of(3, 4, 6) }],
    ["canister", { canister: Uint8Array.of(1, 3) }],
    // The same bytes, divided otherwise.
    ["pair of canister and account", { canister: Uint8Array.of(1, 2, 3), owner: Uint8Array.of(4, 5) }],
  ])("does not open as that of another %s", async (_, other) => {
    expect(await open(key, place(other), await seal(key, place(), SECRET))).toBeUndefined();
  });

  it("does not open when any byte has changed, or some are missing", async () => {
    const sealed = await seal(key, place(), "short");
    for (let at = 0; at < sealed.length; at++) {
      const changed = Uint8Array.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 0x01;
      expect(await open(key, place(), changed)).toBeUndefined();
    }
    for (const length of [0, 1, 13, 28, sealed.length - 1]) expect(await open(key, place(), sealed.slice(0, length))).toBeUndefined();
  });

  it("of another version does not open", async () => {
    const sealed = await seal(key, place(), SECRET);
    for (const version of [0, 2, 255]) expect(await open(key, place(), Uint8Array.from([version, ...sealed.slice(1)]))).toBeUndefined();
  });
});

describe("a chat's name", () => {
  it("is its UUID's bytes", async () => expect(hex(await nameOf(ID))).toBe(ID.replaceAll("-", "")));

  it.each(["chat", ID.toUpperCase(), `${ID}0`, ""])("of %j is the beginning of its hash", async (id) => {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", utf8(id)));
    expect(hex(await nameOf(id))).toBe(hex(hash.slice(0, 16)));
  });
});

describe("a key as text", () => {
  it("comes back as the same key", async () => {
    const text = await keyText(key);
    expect(text).toMatch(/^assay-chat-key-1:[A-Za-z0-9_-]{43}$/);
    const read = await readKey(` ${text.slice(0, 30)}\n${text.slice(30)} \n`);
    expect(read && (await keyText(read))).toBe(text);
    expect(await open(read as CryptoKey, place(), await seal(key, place(), SECRET))).toBe(SECRET);
  });

  const letters = "A".repeat(43);
  it.each([
    "",
    "assay-chat-key-1:",
    letters,
    `assay-chat-key-2:${letters}`,
    `assay-chat-key-1:${letters}A`,
    `assay-chat-key-1:${letters.slice(1)}`,
    `assay-chat-key-1:${letters.slice(1)}=`,
    `assay-chat-key-1:${letters.slice(1)}+`,
    `assay-chat-key-1:${letters.slice(1)}ä`,
    // Bits that no key has.
    `assay-chat-key-1:${letters.slice(1)}B`,
    `ASSAY-CHAT-KEY-1:${letters}`,
  ])("is not %j", async (text) => expect(await readKey(text)).toBeUndefined());
});

describe("what is here and there", () => {
  const whole = (more: Partial<Chat>, turns: Turn[] = [question()]) => ({ chat: chat(more), turns });

  it("comes in whole where nothing is here, without a deletion or a draft", () => {
    const found = merge(undefined, whole({ deleted: 7, draft: "x" }), false);
    expect(found).toEqual({ chat: chat(), turns: [question()], send: false });
  });

  it("is left alone where both are the same", () => {
    for (const changed of [false, true]) expect(merge(whole({}), whole({}), changed)).toEqual({ chat: undefined, turns: [], send: false });
  });

  it("follows the later one, and keeps what is typed here", () => {
    expect(merge(whole({ draft: "d" }), whole({ updated: 2, title: "new" }), true).chat).toEqual(chat({ updated: 2, title: "new", draft: "d" }));
    expect(merge(whole({ updated: 3, title: "mine" }), whole({ updated: 2, title: "new" }), false)).toMatchObject({ chat: undefined, send: true });
  });

  it("follows what changed where both are equally late", () => {
    expect(merge(whole({}), whole({ pinned: true }), false)).toMatchObject({ chat: { pinned: true }, send: false });
    expect(merge(whole({}), whole({ pinned: true }), true)).toMatchObject({ chat: undefined, send: true });
  });

  it("loses no turn of either", () => {
    const found = merge(whole({}, [question(), question("mine")]), whole({ updated: 2, leaf: "theirs" }, [question(), question("theirs")]), true);
    expect(found.turns.map(({ id }) => id)).toEqual(["theirs"]);
    expect(found).toMatchObject({ chat: { leaf: "theirs" }, send: true });
  });

  it("prefers an answer that ended to one that failed, and never touches one under way", () => {
    const failed = reply({ phase: "failed", text: "" });
    expect(comesIn(failed, reply(), false)).toBe(true);
    expect(comesIn(reply(), failed, true)).toBe(false);
    expect(merge(whole({}, [reply()]), whole({ updated: 2 }, [failed]), false).send).toBe(true);
    expect(comesIn(reply({ phase: "running", open: 1 }), reply(), true)).toBe(false);
  });

  it("agrees in the end, whoever comes first", () => {
    const mine = whole({ title: "a", updated: 2 }, [reply({ text: "long", stopped: true })]);
    const theirs = whole({ title: "b", updated: 3 }, [reply({ text: "longer", stopped: true }), question("other")]);
    const first = merge(mine, theirs, true);
    expect(first).toMatchObject({ chat: { title: "b" }, send: false });
    expect(first.turns).toEqual(theirs.turns);
    expect(merge(theirs, mine, true)).toMatchObject({ chat: undefined, turns: [], send: true });
  });
});

describe("when a copy goes", () => {
  const copy = (more: Partial<KeptCopy> = {}): KeptCopy => ({ id: "", chat: ID, at: 1n, sent: 5, state: "kept", ...more });
  const now = Date.UTC(2026, 5, 1);
  const nanos = (days: number): bigint => BigInt(now - days * 86_400_000) * 1_000_000n;

  it("is when it never did, or the chat changed since", () => {
    expect(isDue(undefined, 0, undefined, now)).toBe(true);
    expect(isDue(copy(), 5, nanos(1), now)).toBe(false);
    expect(isDue(copy(), 6, nanos(1), now)).toBe(true);
    expect(isDue(copy({ sent: -1 }), 0, nanos(1), now)).toBe(true);
    expect(isDue(copy({ state: "large" }), 5, undefined, now)).toBe(false);
    expect(isDue(copy({ state: "large" }), 6, undefined, now)).toBe(true);
  });

  it("is before it is outlived, but not when it was dropped elsewhere", () => {
    expect(isDue(copy(), 5, nanos(KEPT_DAYS + 1), now)).toBe(true);
    expect(isDue(copy(), 5, undefined, now)).toBe(false);
  });

  it("is never over one that another key sealed", () => {
    expect(isDue(copy({ state: "sealed" }), 6, nanos(KEPT_DAYS + 1), now)).toBe(false);
    expect(isDue(copy({ state: "gone" }), 6, undefined, now)).toBe(false);
  });

  it("is not while an answer is under way", () => {
    expect(isUnderWay([question(), reply({ phase: "running", open: 1 })])).toBe(true);
    expect(isUnderWay([question(), reply({ phase: "failed", open: 1 }), reply()])).toBe(false);
  });
});

/** A canister in memory. */
class Cans implements Keeper {
  canister = Uint8Array.of(1);
  owner = Uint8Array.of(2);
  id = "c/o";
  kept = new Map<string, { bytes: Uint8Array; at: bigint }>();
  calls: string[] = [];
  #now = BigInt(Date.now()) * 1_000_000n;

  async list(): Promise<Line[]> {
    return [...this.kept].map(([name, { bytes, at }]) => ({ name, bytes: bytes.length, at }));
  }
  async fetch(name: string): Promise<Uint8Array | undefined> {
    this.calls.push("fetch");
    return this.kept.get(name)?.bytes;
  }
  async keep(name: string, bytes: Uint8Array): Promise<Line> {
    this.calls.push("keep");
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
class Browser implements Shelf {
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
  async remember(copy: KeptCopy): Promise<void> {
    this.known.set(copy.id, copy);
  }
  async forget({ id }: KeptCopy): Promise<void> {
    this.known.delete(id);
  }
  async text(id: string): Promise<string | undefined> {
    const whole = this.wholes.get(id);
    return whole && !isUnderWay(whole.turns) ? writeChats({ chats: [whole.chat], turns: whole.turns, receipts: [] }) : undefined;
  }
  async take({ chats: [found], turns }: Portable, changed: boolean): Promise<Taken> {
    const there = { chat: found as Chat, turns };
    const here = this.wholes.get(there.chat.id);
    const merged = merge(here, there, changed);
    const all = new Map([...(here?.turns ?? []), ...merged.turns].map((turn) => [turn.id, turn]));
    this.wholes.set(there.chat.id, { chat: merged.chat ?? (here as { chat: Chat }).chat, turns: [...all.values()] });
    return { fresh: here === undefined, send: merged.send };
  }
  async meet(keeper: Keeper, check = (): void => undefined): Promise<Outcome> {
    return exchange({ keeper, shelf: this, key: this.key, report: () => undefined, check }, await keeper.list());
  }
}

describe("an exchange", () => {
  it("brings a chat from one browser to another with the same key, once", async () => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(key)];
    one.put(chat(), [question(), reply()]);
    expect(await one.meet(cans)).toEqual({ count: 1, sealed: 0, large: [], fresh: 0 });
    expect(await two.meet(cans)).toEqual({ count: 1, sealed: 0, large: [], fresh: 1 });
    expect(two.wholes).toEqual(one.wholes);
    for (const browser of [one, two, one]) await browser.meet(cans);
    expect(cans.calls).toEqual(["keep", "fetch"]);
  });

  it("joins what two browsers did apart, and both end with the same", async () => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(key)];
    one.put(chat(), [question()]);
    await one.meet(cans);
    await two.meet(cans);
    one.put(chat({ updated: 5, leaf: "one" }), [question(), question("one")]);
    two.put(chat({ updated: 4, leaf: "two" }), [question(), question("two")]);
    for (const browser of [two, one, two, one]) await browser.meet(cans);
    expect(one.wholes.get(ID)?.chat).toMatchObject({ updated: 5, leaf: "one" });
    expect(two.wholes.get(ID)?.chat).toEqual(one.wholes.get(ID)?.chat);
    for (const { wholes } of [one, two]) expect(wholes.get(ID)?.turns.map(({ id }) => id).sort()).toEqual(["one", "q", "two"]);
    cans.calls.length = 0;
    for (const browser of [one, two]) await browser.meet(cans);
    expect(cans.calls).toEqual([]);
  });

  it("leaves what another key sealed as it is, and says how much", async () => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(await makeKey())];
    one.put(chat(), [question()]);
    await one.meet(cans);
    const [before] = [...cans.kept.values()].map(({ bytes }) => hex(bytes));
    two.put(chat({ updated: 9 }), [question("mine")]);
    two.put(chat({ id: "b" }), [question("b", "b", "b")]);
    expect(await two.meet(cans)).toMatchObject({ count: 2, sealed: 1, fresh: 0 });
    expect(hex((cans.kept.get(hex(await nameOf(ID))) as { bytes: Uint8Array }).bytes)).toBe(before);
  });

  it("drops there what was deleted here, and does not bring it back", async () => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(key)];
    one.put(chat(), [question()]);
    await one.meet(cans);
    await two.meet(cans);
    one.erase(ID);
    expect(await one.meet(cans)).toMatchObject({ count: 0 });
    expect([one.wholes.size, one.known.size, cans.kept.size]).toEqual([0, 0, 0]);
    // Another browser keeps its chat, and sends it only when it changes.
    expect(await two.meet(cans)).toMatchObject({ count: 0 });
    expect(two.wholes.size).toBe(1);
    two.put(chat({ updated: 2 }), [question()]);
    expect(await two.meet(cans)).toMatchObject({ count: 1 });
  });

  it("waits for an answer under way, and for the rest of a chat that was deleted a moment ago", async () => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(key)];
    one.put(chat(), [question(), reply({ phase: "running", open: 1 })]);
    expect(await one.meet(cans)).toMatchObject({ count: 0 });
    one.put(chat(), [question(), reply()]);
    expect(await one.meet(cans)).toMatchObject({ count: 1 });
    two.put(chat({ deleted: 1 }), [question()]);
    expect(await two.meet(cans)).toMatchObject({ count: 1, fresh: 0 });
    expect(two.wholes.get(ID)?.turns).toHaveLength(1);
    two.erase(ID);
    expect(await two.meet(cans)).toMatchObject({ count: 0 });
  });

  it("says which chat is too large, and does not try again until it changes", async () => {
    const [cans, one] = [new Cans(), new Browser(key)];
    const noise = (): string => hex(crypto.getRandomValues(new Uint8Array(60_000)));
    one.put(chat({ title: "huge" }), [question("q", Array.from({ length: 20 }, noise).join(""))]);
    expect(await one.meet(cans)).toMatchObject({ count: 0, large: ["huge"] });
    expect(await one.meet(cans)).toMatchObject({ count: 0, large: ["huge"] });
    one.put(chat({ title: "small" }), [question()]);
    expect(await one.meet(cans)).toMatchObject({ count: 1, large: [] });
    expect([...cans.kept.values()].every(({ bytes }) => bytes.length <= SEALED_BYTES_MAX)).toBe(true);
  });

  it("takes nothing that opens but belongs to another name", async () => {
    const [cans, one] = [new Cans(), new Browser(key)];
    const name = hex(new Uint8Array(16).fill(7));
    await cans.keep(name, await seal(key, placeOf(cans, name), writeChats({ chats: [chat()], turns: [question()], receipts: [] })));
    expect(await one.meet(cans)).toMatchObject({ count: 1, sealed: 1, fresh: 0 });
    expect(one.wholes.size).toBe(0);
  });

  it("takes of a copy only the turns of its chat", async () => {
    const [cans, one] = [new Cans(), new Browser(key)];
    const name = hex(await nameOf(ID));
    const text = writeChats({ chats: [chat()], turns: [question(), question("x", "x", "other")], receipts: [] });
    expect(parseChats(text)?.turns).toHaveLength(2);
    await cans.keep(name, await seal(key, placeOf(cans, name), text));
    await one.meet(cans);
    expect(one.wholes.get(ID)?.turns.map(({ id }) => id)).toEqual(["q"]);
  });

  it("ends where it is when it is no longer wanted, and goes on there later", async () => {
    const [cans, one] = [new Cans(), new Browser(key)];
    for (let at = 0; at < 12; at++) one.put(chat({ id: `c${at}` }), [question("q", "x", `c${at}`)]);
    let steps = 0;
    await expect(one.meet(cans, () => { if (++steps > 5) throw new Error("enough"); })).rejects.toThrow("enough");
    expect(cans.kept.size).toBeGreaterThan(0);
    expect(cans.kept.size).toBeLessThan(12);
    expect(await one.meet(cans)).toMatchObject({ count: 12 });
    expect(cans.calls.filter((call) => call === "keep")).toHaveLength(12);
  });
});

describe("small parts", () => {
  it("so many at once, and no more after a failure", async () => {
    let [now, most, all] = [0, 0, 0];
    await each([...Array(20).keys()], 4, async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 1));
      now--;
      all++;
    });
    expect([most, all]).toEqual([4, 20]);
    const begun: number[] = [];
    await expect(each([1, 2, 3, 4], 1, async (entry) => { begun.push(entry); if (entry === 2) throw new Error("no"); })).rejects.toThrow("no");
    expect(begun).toEqual([1, 2]);
  });

  it("a gateway's address names the canister, another does not", () => {
    const id = "lqy7q-dh777-77777-aaaaq-cai";
    for (const host of [`${id}.localhost`, `${id}.icp0.io`, `${id}.raw.icp0.io`]) expect(canisterOf(host)?.toText()).toBe(id);
    for (const host of ["localhost", "assay.example", "www.assay.example", "127.0.0.1", "aaaaa-aa.localhost", "2vxsx-fae.icp0.io", `x${id}.icp0.io`, ""]) expect(canisterOf(host)).toBeUndefined();
  });

  it("sealed copies are a choice that is kept", () => {
    expect(readPrefs('{"keep":"canister"}').keep).toBe("canister");
    for (const keep of ['"cloud"', "7", "null"]) expect(readPrefs(`{"keep":${keep}}`).keep).toBe("device");
  });
});
