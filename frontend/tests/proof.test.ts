import { describe, expect, it, vi } from "vitest";
import { hex, unhex } from "../src/lib/bytes.ts";
import { opt, type CertifiedReceipt, type Receipt } from "../src/lib/ic/types.ts";
import { NotProven } from "../src/lib/proof/certificate.ts";
import { readFile, writeFile } from "../src/lib/proof/file.ts";
import { resultRoot } from "../src/lib/proof/receipt.ts";
import { verify } from "../src/lib/proof/verify.ts";
import answer from "./answer.fixture.json?raw";
import text from "./receipt.fixture.json?raw";

// Saved from a market of `assay up`, whose root key it names; `assay receipt verify` accepts it.
const file = () => readFile(text);

async function step(certified: CertifiedReceipt, rootKey = file().rootKey, archived = true): Promise<string> {
  return verify(certified, rootKey, archived).then(
    () => "holds",
    (error: unknown) => (error instanceof NotProven ? error.step : `unexpected: ${String(error)}`),
  );
}

describe("a receipt", () => {
  it("holds from the root key to every field, with and without its request", async () => {
    const { certified, rootKey } = file();
    const proof = await verify(certified, rootKey, true);
    expect(proof.request).toBe(true);
    expect(proof.signedAt).toBeGreaterThan(Date.UTC(2026, 0));
    expect(await step({ ...certified, request: [] })).toBe("holds");
  });

  it("is refused ten minutes away from its time, either way, unless it is archived", async () => {
    const { signedAt } = await verify(file().certified, file().rootKey, true);
    for (const minutes of [-10, 10]) {
      vi.useFakeTimers({ now: signedAt + minutes * 60_000 });
      expect(await step(file().certified, undefined, false)).toBe("clock");
      expect(await step(file().certified, undefined, true)).toBe("holds");
    }
    vi.setSystemTime(signedAt + 60_000);
    expect(await step(file().certified, undefined, false)).toBe("holds");
    vi.useRealTimers();
  });

  const changes: [keyof Receipt, (receipt: Receipt) => void][] = [
    ["request_hash", (r) => (r.request_hash = flipped(r.request_hash))],
    ["model", (r) => (r.model = flipped(r.model))],
    ["model_root", (r) => (r.model_root = flipped(r.model_root))],
    ["class", (r) => (r.class = flipped(r.class))],
    ["seed", (r) => (r.seed = [])],
    ["assurance", (r) => (r.assurance = { Checked: { checkers: 2 } })],
    ["state", (r) => (r.state = { Failed: null })],
    ["verdict", (r) => (r.verdict = [{ Unverified: null }])],
    ["result", (r) => (r.result = [])],
    ["leases", (r) => (r.leases = r.leases.slice(1))],
    ["escrow", (r) => (r.escrow += 1n)],
    ["fee", (r) => (r.fee += 1n)],
    ["royalty", (r) => (r.royalty += 1n)],
    ["refund", (r) => (r.refund += 1n)],
    ["subsidy", (r) => (r.subsidy += 1n)],
    ["submitted_at", (r) => (r.submitted_at += 1n)],
    ["ended_at", (r) => (r.ended_at += 1n)],
  ];
  it.each(changes)("is refused when its %s was changed", async (_, change) => {
    const { certified } = file();
    change(certified.receipt);
    expect(await step(certified)).toBe("hash");
  });

  it("of another job or canister is refused", async () => {
    const { certified } = file();
    certified.receipt.job += 1n;
    expect(await step(certified)).toBe("job");
  });

  it("is refused with another question, another witness, another root key", async () => {
    const asked = file().certified;
    const request = opt(asked.request);
    if (request === undefined || !("Chat" in request.request.task)) throw new Error("the fixture has a chat");
    const [message] = request.request.task.Chat.messages;
    if (message !== undefined) message.content += "?";
    expect(await step(asked)).toBe("request");

    const { certified, rootKey } = file();
    const witness = Uint8Array.from(certified.witness);
    witness[witness.length - 1] = (witness.at(-1) ?? 0) ^ 1;
    expect(await step({ ...certified, witness })).toBe("witness");
    const other = Uint8Array.from(rootKey);
    other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
    expect(await step(certified, other)).toBe("certificate");
  });
});

describe("a receipt file", () => {
  it("comes back whole, byte for byte", () => {
    expect(writeFile(file())).toBe(text);
  });

  it.each([
    ["", "not JSON"],
    ["{}", "format"],
    [text.replace("assay-receipt-1", "assay-receipt-2"), "assay-receipt-2"],
    [text.replace('"root_key": "3081', '"root_key": "30zz'), "root_key"],
    [text.replace('"certified_receipt": "4449', '"certified_receipt": "4448'), "certified_receipt"],
  ])("that is none is refused (%#)", (damaged, told) => {
    expect(() => readFile(damaged)).toThrow(told);
  });
});

describe("the result root", () => {
  it("is that of the engine's known answer", async () => {
    const { certified } = file();
    const result = opt(certified.receipt.result);
    const known = JSON.parse(answer) as { input: number[]; output: number[]; text: string; traceRoot: string };
    const asked = opt(certified.request)?.request;
    if (result === undefined || asked === undefined) throw new Error("the fixture has a result");
    const root = await resultRoot("CIS-1", Uint8Array.from(certified.receipt.model_root), asked.parameters, opt(certified.receipt.seed) ?? 0n, {
      input: known.input,
      output: known.output,
      text: known.text,
      finish: "Stop" in result.finish ? "stop" : "length",
      traceRoot: unhex(known.traceRoot) ?? new Uint8Array(),
    });
    expect(hex(root)).toBe(hex(Uint8Array.from(result.root)));
  });
});

function flipped(bytes: Uint8Array | number[]): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[0] = (changed[0] ?? 0) ^ 1;
  return changed;
}
