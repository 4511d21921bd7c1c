import { beforeAll, describe, expect, it } from "vitest";
import { hex } from "../src/lib/bytes.ts";
import { parseChats, writeChats } from "../src/lib/chat/portable.ts";
import { canisterOf } from "../src/lib/ic/env.ts";
import { each } from "../src/lib/kept/each.ts";
import { dropSealed, exchange, placeOf } from "../src/lib/kept/exchange.ts";
import { copyOf, linesOf } from "../src/lib/kept/keeper.ts";
import { makeKey } from "../src/lib/kept/key.ts";
import { nameOf, seal } from "../src/lib/kept/seal.ts";
import { fits } from "../src/lib/kept/tries.ts";
import { FULL_TRIES_MAX, KEPT_AT_ONCE, KEPT_CHATS_MAX, KEY_TRIES_MAX, SEALED_BYTES_MAX } from "../src/lib/limits.ts";
import { Browser, Cans, chat, ID, question, reply } from "./kept.ts";

let key: CryptoKey;
beforeAll(async () => {
  key = await makeKey();
});

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

describe("times that a node says", () => {
  it("do no lasting harm, in the list or with a copy", async () => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(key)];
    const far = 1n << 63n;
    one.put(chat(), [question()]);
    await one.meet(cans);
    const name = hex(await nameOf(ID));
    const [line] = await cans.list();
    await exchange(two.parts(cans), line ? [{ ...line, at: far }] : []);
    expect(two.known.get(`${cans.id}/${name}`)?.at).toBe(line?.at);

    one.put(chat({ title: "second", touched: 2 }), [question()]);
    await one.meet(cans);
    const found = cans.kept.get(name) as { at: bigint };
    const honest = found.at;
    found.at = far;
    await two.meet(cans);
    found.at = honest;
    one.put(chat({ title: "third", touched: 3 }), [question()]);
    await one.meet(cans);
    await two.meet(cans);
    expect(two.wholes.get(ID)?.chat.title).toBe("third");
  });

  it("of the list may be behind those of the copy, which is then not taken again", async () => {
    const [cans, one] = [new Cans(), new Browser(key)];
    one.put(chat(), [question()]);
    await one.meet(cans);
    const list = await cans.list();
    one.put(chat({ updated: 2 }), [question(), question("more")]);
    await one.meet(cans);
    cans.calls.length = 0;
    one.take = () => Promise.reject(new Error("taken again"));
    await exchange(one.parts(cans), list);
    expect(cans.calls).toEqual(["fetch"]);
  });

  it("of this browser may go back, and what changed goes all the same", async () => {
    const [cans, one] = [new Cans(), new Browser(key)];
    one.put(chat(), [question()]);
    one.times.set(ID, 1_000);
    await one.meet(cans);
    one.put(chat({ title: "new" }), [question()]);
    one.times.set(ID, 900);
    await one.meet(cans);
    expect(cans.calls).toEqual(["keep", "keep"]);
  });
});

describe("a canister that is full", () => {
  const refusal = expect.objectContaining({ name: "Refusal" }) as Error;
  const fill = (browser: Browser, count: number): void => {
    for (let at = 0; at < count; at++) browser.put(chat({ id: `c${at}`, updated: at }), [question(`q${at}`, "x", `c${at}`)]);
  };

  it("gets the other chats all the same, and says that it is full", async () => {
    const [cans, one] = [new Cans(), new Browser(key)];
    fill(one, 12);
    const refused = hex(await nameOf("c11"));
    cans.takes = (name) => name !== refused;
    await expect(one.meet(cans)).rejects.toEqual(refusal);
    expect(cans.kept.size).toBe(11);
    cans.takes = () => true;
    expect(await one.meet(cans)).toMatchObject({ count: 12 });
  });

  it("is not asked without end, but what lies there is brought up to date", async () => {
    const [cans, one] = [new Cans(), new Browser(key)];
    fill(one, 1);
    await one.meet(cans);
    fill(one, 60);
    cans.calls.length = 0;
    cans.takes = (name) => cans.kept.has(name);
    const before = [...cans.kept.values()][0]?.at;
    await expect(one.meet(cans)).rejects.toEqual(refusal);
    expect(cans.calls.length).toBeLessThan(FULL_TRIES_MAX + 2 * KEPT_AT_ONCE);
    expect([...cans.kept.values()][0]?.at).not.toBe(before);
  });
});

describe("a chat that is deleted here while its copy is fetched", () => {
  it.each(["seen before", "not seen before"])("does not come back, and goes there, too (%s)", async (seen) => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(key)];
    one.put(chat(), [question()]);
    await one.meet(cans);
    await two.meet(cans);
    one.put(chat({ title: "new", touched: 2 }), [question()]);
    await one.meet(cans);
    if (seen !== "seen before") two.known.clear();
    cans.meanwhile = () => two.erase(ID);
    await two.meet(cans);
    expect([two.wholes.size, [...two.known.values()][0]?.state]).toEqual([0, "gone"]);
    expect(await two.meet(cans)).toMatchObject({ count: 0 });
    expect([two.wholes.size, cans.kept.size]).toEqual([0, 0]);
  });

  it("and taken back gets what it missed", async () => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(key)];
    one.put(chat(), [question()]);
    await one.meet(cans);
    await two.meet(cans);
    one.put(chat({ updated: 2, leaf: "new" }), [question(), question("new")]);
    await one.meet(cans);
    two.put(chat({ deleted: 1 }), [question()]);
    await two.meet(cans);
    two.put(chat(), [question()]);
    await two.meet(cans);
    expect(two.wholes.get(ID)?.turns.map(({ id }) => id)).toEqual(["q", "new"]);
    expect(two.wholes.get(ID)?.chat.leaf).toBe("new");
  });
});

describe("copies that do not open", () => {
  it("are dropped after another look, and come in where that opens", async () => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(await makeKey())];
    one.put(chat(), [question()]);
    await one.meet(cans);
    two.put(chat({ id: "b" }), [question("b", "b", "b")]);
    await two.meet(cans);
    const mine = cans.kept.get(hex(await nameOf(ID))) as { bytes: Uint8Array };
    const { bytes } = mine;
    mine.bytes = bytes.slice(1);
    const three = new Browser(key);
    expect(await three.meet(cans)).toMatchObject({ count: 2, sealed: 2, fresh: 0 });
    mine.bytes = bytes;
    await dropSealed(three.parts(cans));
    expect([...cans.kept.keys()]).toEqual([hex(await nameOf(ID))]);
    expect([...three.wholes.keys()]).toEqual([ID]);
    expect(await three.meet(cans)).toMatchObject({ count: 1, sealed: 0 });
  });

  it("are not dropped where nothing is given to look at", async () => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(await makeKey())];
    one.put(chat(), [question()]);
    await one.meet(cans);
    await two.meet(cans);
    cans.fetch = async () => undefined;
    await dropSealed(two.parts(cans));
    expect(cans.kept.size).toBe(1);
  });
});

describe("a key that is entered", () => {
  it("must open something, also where the present one opens everything", async () => {
    const [cans, one, other] = [new Cans(), new Browser(key), await makeKey()];
    expect(await fits(other, cans, undefined)).toBe(true);
    one.put(chat(), [question()]);
    await one.meet(cans);
    expect(await fits(other, cans, await one.copies(cans.id))).toBe(false);
    expect(await fits(key, cans, await one.copies(cans.id))).toBe(true);
    expect(await fits(other, cans, undefined)).toBe(false);
    expect(await fits(key, cans, undefined)).toBe(true);
  });

  it("must open one that is closed here, if there is one", async () => {
    const [cans, one, two] = [new Cans(), new Browser(key), new Browser(await makeKey())];
    one.put(chat(), [question()]);
    await one.meet(cans);
    two.put(chat({ id: "b" }), [question("b", "b", "b")]);
    await two.meet(cans);
    const copies = await two.copies(cans.id);
    expect(await fits(two.key, cans, copies)).toBe(false);
    expect(await fits(key, cans, copies)).toBe(true);
  });

  it("is tried on so many of the smallest", async () => {
    const cans = new Cans();
    const other = await makeKey();
    for (let at = 0; at < KEY_TRIES_MAX + 4; at++) {
      const name = hex(new Uint8Array(16).fill(at));
      // The largest would open.
      await cans.keep(name, await seal(at === 0 ? key : other, placeOf(cans, name), at === 0 ? hex(crypto.getRandomValues(new Uint8Array(500))) : "x"));
    }
    cans.calls.length = 0;
    expect(await fits(key, cans, undefined)).toBe(false);
    expect(cans.calls).toEqual(Array(KEY_TRIES_MAX).fill("fetch"));
  });
});

describe("what a node gives", () => {
  it("is read as far as the canister would give it", () => {
    const line = { chat: Uint8Array.of(10), bytes: 7, kept_at: 3n };
    expect(linesOf([line])).toEqual([{ name: "0a", bytes: 7, at: 3n }]);
    expect(linesOf(Array(KEPT_CHATS_MAX + 1).fill(line))).toHaveLength(KEPT_CHATS_MAX);
    const sealed = new Uint8Array(SEALED_BYTES_MAX);
    expect(copyOf({ sealed, kept_at: 3n })?.at).toBe(3n);
    expect(copyOf({ sealed: new Uint8Array(SEALED_BYTES_MAX + 1), kept_at: 3n })).toBeUndefined();
    expect(copyOf(undefined)).toBeUndefined();
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

  it("the rest after a failure that concerns one alone, and then that failure", async () => {
    const begun: number[] = [];
    const run = async (entry: number): Promise<void> => {
      begun.push(entry);
      if (entry === 2 || entry === 4) throw new Error(`no ${entry}`);
    };
    await expect(each([1, 2, 3, 4, 5], 1, run, () => true)).rejects.toThrow("no 2");
    expect(begun).toEqual([1, 2, 3, 4, 5]);
    begun.length = 0;
    await expect(each([1, 2, 3, 4, 5], 1, run, (error) => (error as Error).message === "no 2")).rejects.toThrow("no 4");
    expect(begun).toEqual([1, 2, 3, 4]);
  });

  it("a gateway's address names the canister, another does not", () => {
    const id = "lqy7q-dh777-77777-aaaaq-cai";
    for (const host of [`${id}.localhost`, `${id}.icp0.io`, `${id}.raw.icp0.io`]) expect(canisterOf(host)?.toText()).toBe(id);
    for (const host of ["localhost", "assay.example", "www.assay.example", "127.0.0.1", "aaaaa-aa.localhost", "2vxsx-fae.icp0.io", `x${id}.icp0.io`, ""]) expect(canisterOf(host)).toBeUndefined();
  });
});
