import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Reply } from "../src/lib/chat/types.ts";
import { shelf, type Shelf } from "../src/lib/kept/shelf.ts";
import type { KeptCopy } from "../src/lib/store/db.ts";
import { chat, ID, question, reply } from "./kept.ts";

type Row = Record<string, unknown> & { id: string };

/** As much of a database as a chat that comes in needs. A transaction reaches the stores that it names, and no other. */
class Tables {
  rows = new Map<string, Map<string, Row>>();

  rowsOf(store: string): Map<string, Row> {
    const found = this.rows.get(store) ?? new Map<string, Row>();
    this.rows.set(store, found);
    return found;
  }
  objectStore(store: string) {
    const rows = this.rowsOf(store);
    return {
      get: async (id: string) => rows.get(id),
      getKey: async (id: string) => rows.get(id)?.id,
      put: async (row: Row) => void rows.set(row.id, row),
      index: (by: string) => ({ getAll: async (value: unknown) => [...rows.values()].filter((row) => row[by] === value) }),
    };
  }
  transaction(stores: string[]) {
    const objectStore = (store: string): ReturnType<Tables["objectStore"]> => {
      if (!stores.includes(store)) throw new Error(`${store} is not in this transaction`);
      return this.objectStore(store);
    };
    return { objectStore, done: Promise.resolve() };
  }
  getAllFromIndex(store: string, by: string, value: unknown): Promise<Row[]> {
    return this.objectStore(store).index(by).getAll(value);
  }
}

const held = vi.hoisted(() => ({ tables: undefined as unknown }));
vi.mock("../src/lib/store/db.ts", () => ({ database: () => Promise.resolve(held.tables) }));

const copy: KeptCopy = { id: "c/o/n", chat: ID, at: 1n, sent: 0, state: "kept" };
const file = { format: "assay-chats-1", saved: "", chats: [chat({ updated: 9, title: "came" })], turns: [question()], receipts: [] } as const;
const known = { copy: copy.id, here: false, changed: false };
let tables: Tables;
let side: Shelf;

const put = (store: string, row: object): void => void tables.rowsOf(store).set((row as Row).id, row as Row);
const take = (more: object = {}) => side.take({ ...file, chats: [...file.chats], turns: [...file.turns], receipts: [] }, { ...known, ...more });

beforeEach(async () => {
  held.tables = tables = new Tables();
  side = (await shelf()) as Shelf;
});

describe("a chat that comes into the database", () => {
  it("is there afterwards, or joined with what is there", async () => {
    expect(await take()).toEqual({ fresh: true, send: false });
    expect(tables.rowsOf("chats").get(ID)).toMatchObject({ title: "came" });
    put("chats", chat({ title: "mine", draft: "d" }));
    expect(await take({ here: true })).toEqual({ fresh: false, send: false });
    expect(tables.rowsOf("chats").get(ID)).toMatchObject({ title: "came", draft: "d" });
  });

  it.each<[string, () => void, boolean]>([
    ["a moment ago", () => put("chats", chat({ deleted: 1 })), true],
    ["for good, while it was fetched", () => undefined, true],
    ["for good, before that", () => put("copies", { ...copy, state: "gone" }), false],
  ])("does not where it was deleted %s", async (_, prepare, here) => {
    prepare();
    expect(await take({ here })).toBeUndefined();
    expect(tables.rowsOf("chats").get(ID)?.["title"]).not.toBe("came");
    expect(tables.rowsOf("turns").size).toBe(0);
  });

  it("brings no proof that does not hold here", async () => {
    put("chats", chat({ leaf: "a" }));
    put("turns", question());
    const mine = reply({ rerun: { kind: "same", at: 1, root: "r", ms: 1 } });
    put("turns", mine);
    const claimed: Reply = reply({ proof: { kind: "proven", hash: "", signedAt: 1, checkedAt: 1 } });
    await side.take({ ...file, chats: [chat({ leaf: "a" })], turns: [question(), claimed], receipts: [] }, { ...known, here: true });
    expect(tables.rowsOf("turns").get("a")).toEqual(mine);
  });
});

describe("what is remembered of a copy", () => {
  it("is that its chat was deleted, until it is deleted there", async () => {
    put("chats", chat());
    expect(await side.remember(copy)).toMatchObject({ state: "kept" });
    put("copies", { ...copy, state: "gone" });
    expect(await side.remember(copy)).toMatchObject({ state: "gone" });
    expect(tables.rowsOf("copies").get(copy.id)).toMatchObject({ state: "gone" });
    tables.rows.clear();
    expect(await side.remember(copy)).toMatchObject({ state: "gone" });
  });
});
