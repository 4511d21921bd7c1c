import { describe, expect, it } from "vitest";
import { parseChats } from "../src/lib/chat/portable.ts";
import { blocks } from "../src/lib/md/lex.ts";
import { mend } from "../src/lib/md/mend.ts";
import { isSeed, readPrefs } from "../src/lib/prefs.svelte.ts";
import { parse } from "../src/lib/router.svelte.ts";
import { readAmount } from "../src/routes/account/amount.ts";
import { letters } from "../src/ui/proof/letters.ts";
import { badgeOf } from "../src/ui/proof/badge.ts";

describe("addresses", () => {
  it.each([
    ["", "chat"],
    ["#/", "chat"],
    ["#/chat/abc", "chat"],
    ["#/network", "network"],
    ["#/job/lqy7q-dh777-77777-aaaaq-cai/7", "job"],
    ["#/job/x/seven", "unknown"],
    ["#/job/x/7/8", "unknown"],
    [`#/model/${"a".repeat(64)}`, "model"],
    ["#/model/short", "unknown"],
    ["#/network/more", "unknown"],
    ["#/%E0%A4%A", "unknown"],
  ])("%s is %s", (hash, page) => expect(parse(hash).page).toBe(page));
});

describe("choices", () => {
  it("survive anything that stands in storage", () => {
    for (const text of [null, "", "{", "7", "null", '{"theme":7,"drawing":{"seed":-1,"topPPpm":0},"sureness":{"kind":"checked","checkers":99}}']) {
      const prefs = readPrefs(text);
      expect(prefs.theme).toBe("system");
      expect(prefs.sureness).toEqual({ kind: "checked", checkers: 1 });
      expect(prefs.drawing.topPPpm).toBe(1_000_000);
    }
    expect(readPrefs('{"theme":"dark","sureness":{"kind":"equality","total":3}}')).toMatchObject({ theme: "dark", sureness: { total: 3 } });
  });

  it("a seed is a number of 64 bits, or nothing", () => {
    expect(["", "0", "18446744073709551615"].every(isSeed)).toBe(true);
    expect(["18446744073709551616", "-1", "1.5", "x"].some(isSeed)).toBe(false);
  });
});

describe("amounts", () => {
  it.each([
    ["250 M", 250_000_000n],
    ["1.5 T", 1_500_000_000_000n],
    ["1,5k", 1_500n],
    ["141_984_000", 141_984_000n],
    ["0.0001k", undefined],
    ["-1", undefined],
    ["1e9", undefined],
    ["", undefined],
  ])("%s is %s", (text, amount) => expect(readAmount(text)).toBe(amount));
});

describe("text that is still coming", () => {
  it.each([
    ["a **bold", "a **bold**"],
    ["a **bold** and", "a **bold** and"],
    ["a **", "a "],
    ["see [the docs](https://exa", "see the docs"],
    ["see [the do", "see the do"],
    ["use `code", "use `code`"],
    ["costs $5", "costs $5"],
    ["one\n~~two", "one\n~~two~~"],
  ])("%j reads as %j", (text, mended) => expect(mend(text)).toBe(mended));

  it("keeps finished blocks as they are", () => {
    const before = blocks("# One\n\ntwo **th", true).map(({ raw }) => raw);
    const after = blocks("# One\n\ntwo **three** four", true).map(({ raw }) => raw);
    expect(after[0]).toBe(before[0]);
    expect(after).toHaveLength(2);
  });

  it("knows formulas, and takes a lone dollar for money", () => {
    expect(blocks("$$x^2$$", false)[0]?.token.type).toBe("math");
    expect(blocks("\\[x\\]", false)[0]?.token.type).toBe("math");
    expect(blocks("It costs $5 or $6.", false)[0]?.token.type).toBe("paragraph");
    expect(blocks("one\n$$x$$\ntwo", false).map(({ token }) => token.type)).toEqual(["paragraph", "math", "paragraph"]);
    const [line, ...more] = blocks("$$a$$ and \\(b\\) and $$c$$ end", false);
    expect(more).toEqual([]);
    const inner = (line?.token as { tokens: { type: string }[] }).tokens.map(({ type }) => type);
    expect(inner.filter((type) => type === "mathInline")).toHaveLength(3);
  });
});

describe("marks", () => {
  it("equal results have equal letters", () => {
    expect(letters(["aa", "bb", undefined, "aa"])).toEqual(["A", "B", undefined, "A"]);
  });

  it("a badge says verified only of what is certified", () => {
    const reply = { phase: "ended", place: "network", text: "", open: 0 } as const;
    const ending = { outcome: "verified" } as never;
    const proven = { kind: "proven", hash: "", signedAt: 0, checkedAt: 0 } as const;
    expect(badgeOf({ ...reply, ending, proof: { kind: "none" } })).toBe("none");
    expect(badgeOf({ ...reply, ending, proof: { kind: "checking" } })).toBe("checking");
    expect(badgeOf({ ...reply, ending, proof: proven })).toBe("verified");
    expect(badgeOf({ ...reply, ending, proof: { kind: "refused", step: "hash", message: "" } })).toBe("refused");
    expect(badgeOf({ ...reply, ending, proof: proven, rerun: { kind: "same", at: 0, root: "", ms: 1 } })).toBe("reverified");
    expect(badgeOf({ ...reply, ending, proof: proven, rerun: { kind: "differs", at: 0, position: 1, what: "token" } })).toBe("differs");
  });
});

describe("an export", () => {
  it("comes back with its big numbers and bytes, and nothing else is taken for one", () => {
    const text = '{"format":"assay-chats-1","chats":[{"id":"c"}],"turns":[{"id":"t","quoted":{"#int":"12"}}],"receipts":[{"id":"r","bytes":{"#bytes":"00ff"}}]}';
    const found = parseChats(text);
    expect(found?.turns[0]).toMatchObject({ quoted: 12n });
    expect(found?.receipts[0]?.bytes).toEqual(Uint8Array.of(0, 255));
    for (const other of ["", "{}", text.replace("-1", "-2"), text.replace('[{"id":"c"}]', "[7]")]) expect(parseChats(other)).toBeUndefined();
  });
});
