import { beforeAll, describe, expect, it } from "vitest";
import { hex, utf8 } from "../src/lib/bytes.ts";
import type { Chat, Turn } from "../src/lib/chat/types.ts";
import { keyText, makeKey, readKey } from "../src/lib/kept/key.ts";
import { comesIn, inPlaceOf, isDue, isUnderWay, merge, remembered } from "../src/lib/kept/merge.ts";
import { nameOf, open, seal, type Place } from "../src/lib/kept/seal.ts";
import { KEPT_DAYS } from "../src/lib/limits.ts";
import type { KeptCopy } from "../src/lib/store/db.ts";
import { chat, ID, question, reply, SECRET } from "./kept.ts";

async function through(stream: CompressionStream | DecompressionStream, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

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
    // Packed words do not look like words, so it must not unpack either.
    expect(await through(new DecompressionStream("gzip"), await through(new CompressionStream("gzip"), utf8(SECRET)))).toEqual(utf8(SECRET));
    await expect(through(new DecompressionStream("gzip"), Uint8Array.from(sealed.slice(13)))).rejects.toThrow();
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

  it("does not open when it unpacks to more than is read", async () => {
    const sealed = await seal(key, place(), "r".repeat(50_000));
    expect(await open(key, place(), sealed, 50_000)).toHaveLength(50_000);
    expect(await open(key, place(), sealed, 49_999)).toBeUndefined();
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

  it("keeps a later name or pin over an earlier turn elsewhere, and shows that turn", () => {
    const mine = whole({ title: "mine", pinned: true, touched: 10 });
    const theirs = whole({ updated: 5, leaf: "new" }, [question(), { ...question("new"), parent: "q", created: 5 }]);
    const joined = { title: "mine", pinned: true, updated: 5, leaf: "new" };
    expect(merge(mine, theirs, true)).toMatchObject({ chat: joined, send: true });
    expect(merge(theirs, mine, false)).toMatchObject({ chat: joined, send: true });
    expect(merge(whole({ touched: 4, title: "older" }), whole({ touched: 5, title: "newer" }), true).chat?.title).toBe("newer");
  });

  it("shows the branch that was chosen or went on later", () => {
    const turns = [question("one"), question("two")];
    const chosen = whole({ leaf: "two", chosen: 7 }, turns);
    expect(merge(whole({ leaf: "one", updated: 6 }, turns), chosen, true).chat).toMatchObject({ leaf: "two", updated: 6 });
    expect(merge(whole({ leaf: "one", updated: 8 }, turns), chosen, false)).toMatchObject({ chat: undefined, send: true });
  });

  it("goes on below the turn that is shown, the same way everywhere", () => {
    const below = ["x", "y"].map((id): Turn => ({ ...question(id), parent: "q", created: 9 }));
    const leaves = [below, [...below].reverse()].map((turns) => merge(whole({ title: "a", chosen: 20 }), whole({ updated: 9, leaf: "x" }, [question(), ...turns]), false).chat?.leaf);
    expect(leaves).toEqual(["y", "y"]);
  });

  it("takes a proof for an answer with the same words, and gives it", () => {
    const proven = reply({ proof: { kind: "proven", hash: "", signedAt: 1, checkedAt: 1 } });
    const refused = reply({ proof: { kind: "refused", step: "fetch", message: "" } });
    for (const bare of [reply(), refused]) {
      expect(comesIn(bare, proven, false)).toBe(true);
      expect(comesIn(proven, bare, true)).toBe(false);
      expect(merge(whole({ leaf: "a" }, [proven]), whole({ leaf: "a" }, [bare]), false).send).toBe(true);
      expect(merge(whole({ leaf: "a" }, [bare]), whole({ leaf: "a" }, [proven]), false)).toMatchObject({ turns: [proven], send: false });
    }
    expect(comesIn(reply({ proof: { kind: "checking" } }), proven, true)).toBe(false);
    expect(comesIn(proven, proven, true)).toBe(false);
    // Only what holds here, too; and what this device found stays.
    const rerun = { kind: "same", at: 1, root: "r", ms: 1 } as const;
    expect(inPlaceOf(reply({ rerun }), proven)).toEqual([{ ...proven, rerun }]);
    expect(inPlaceOf(reply(), refused)).toEqual([]);
    expect(inPlaceOf(undefined, refused)).toEqual([refused]);
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
    const mine = whole({ title: "a", updated: 2, leaf: "a" }, [reply({ text: "long", stopped: true })]);
    const theirs = whole({ title: "b", updated: 3, leaf: "a" }, [reply({ text: "longer", stopped: true }), question("other")]);
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
    // Somebody set the clock back.
    expect(isDue(copy(), 4, nanos(1), now)).toBe(true);
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

  it("is not forgotten where a deletion has yet to reach it", () => {
    expect(remembered(copy({ state: "gone" }), copy(), true)).toMatchObject({ state: "gone" });
    expect(remembered(copy({ state: "gone" }), copy({ chat: "", state: "sealed" }), false)).toMatchObject({ chat: ID, state: "gone" });
    expect(remembered(copy(), copy(), false)).toMatchObject({ state: "gone" });
    expect(remembered(undefined, copy(), true)).toMatchObject({ state: "kept" });
    expect(remembered(undefined, copy({ chat: "", state: "sealed" }), false)).toMatchObject({ state: "sealed" });
  });

  it("is not while an answer is under way", () => {
    expect(isUnderWay([question(), reply({ phase: "running", open: 1 })])).toBe(true);
    expect(isUnderWay([question(), reply({ phase: "failed", open: 1 }), reply()])).toBe(false);
  });
});
