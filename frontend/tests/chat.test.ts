import { describe, expect, it } from "vitest";
import { context, tokensAtWorst } from "../src/lib/chat/context.ts";
import { groups } from "../src/lib/chat/groups.ts";
import { titleOf } from "../src/lib/chat/title.ts";
import { newestLeaf, path, siblings } from "../src/lib/chat/tree.ts";
import type { Chat, Turn } from "../src/lib/chat/types.ts";

const turn = (id: string, parent: string, role: "user" | "assistant", created: number, text = id): Turn =>
  ({ id, parent, role, created, text, chat: "c" }) as Turn;

const tree = new Map<string, Turn>(
  [
    turn("q1", "", "user", 1),
    turn("a1", "q1", "assistant", 2),
    turn("a2", "q1", "assistant", 3),
    turn("q2", "a2", "user", 4),
    turn("b1", "q2", "assistant", 5),
    turn("q3", "a1", "user", 6),
  ].map((entry) => [entry.id, entry]),
);

describe("the tree", () => {
  it("shows one path, oldest first", () => {
    expect(path(tree, "b1").map(({ id }) => id)).toEqual(["q1", "a2", "q2", "b1"]);
    expect(path(tree, "nobody")).toEqual([]);
  });

  it("does not walk in circles", () => {
    const circle = new Map([turn("x", "y", "user", 1), turn("y", "x", "assistant", 2)].map((entry) => [entry.id, entry]));
    expect(path(circle, "x")).toHaveLength(2);
  });

  it("knows the alternatives at a fork", () => {
    expect(siblings(tree, tree.get("a2") as Turn).map(({ id }) => id)).toEqual(["a1", "a2"]);
  });

  it("goes down to where a branch was left", () => {
    expect(newestLeaf(tree, "a2")).toBe("b1");
    expect(newestLeaf(tree, "a1")).toBe("q3");
  });
});

describe("the context", () => {
  const said = (count: number, text: string): Turn[] =>
    Array.from({ length: count }, (_, at) => turn(`t${at}`, "", at % 2 === 0 ? "user" : "assistant", at, text));

  it("is the system prompt and the whole conversation where they fit", () => {
    const { messages, left, tooLong } = context(said(3, "hello"), " Be kind. ", 2_048, 100);
    expect(messages.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"]);
    expect(messages[0]?.content).toBe("Be kind.");
    expect([left, tooLong]).toEqual([0, false]);
  });

  it("leaves the oldest out, and begins with a question", () => {
    const { messages, left } = context(said(9, "x".repeat(200)), "", 1_000, 200);
    expect(messages[0]?.role).toBe("user");
    expect(left).toBe(6);
    expect(tokensAtWorst(messages) + 200).toBeLessThanOrEqual(1_000);
  });

  it("says when even the question is too long", () => {
    expect(context(said(1, "x".repeat(3_000)), "", 1_000, 200).tooLong).toBe(true);
  });

  it("skips answers that failed", () => {
    const turns = [turn("1", "", "user", 1, "first"), turn("2", "1", "assistant", 2, ""), turn("3", "2", "user", 3, "second")];
    expect(context(turns, "", 2_048, 10).messages).toEqual([{ role: "user", content: "second" }]);
  });
});

describe("titles and groups", () => {
  it("a title is the first line, cut at a word", () => {
    expect(titleOf("# Hello *world*\nmore")).toBe("Hello world");
    const cut = titleOf("one two three four five six seven eight nine ten eleven twelve");
    expect(cut.endsWith("…")).toBe(true);
    expect(cut.length).toBeLessThan(45);
  });

  it("chats are grouped by when they were used", () => {
    const now = new Date(2026, 5, 15, 12).getTime();
    const chat = (id: string, updated: number, pinned = false) => ({ id, updated, pinned }) as Chat;
    const found = groups([chat("p", 0, true), chat("t", now - 1_000), chat("y", now - 86_400_000), chat("o", now - 90 * 86_400_000)], now);
    expect(found.map(({ name }) => name)).toEqual(["pinned", "today", "yesterday", "older"]);
  });
});

