// The engine's JavaScript on the real model, in Node.js: `node --test` with ENGINE_WASM and ASSAY_MODEL.
import assert from "node:assert/strict";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { Readable } from "node:stream";
import { before, test } from "node:test";

import { Engine, EngineError } from "../js/engine.js";

const { ENGINE_WASM, ASSAY_MODEL } = process.env;
const recorded = JSON.parse(readFileSync(new URL("answer.json", import.meta.url)));
const wasm = new WebAssembly.Module(readFileSync(ENGINE_WASM));
const bytes = statSync(ASSAY_MODEL).size;
const stream = (path = ASSAY_MODEL) => Readable.toWeb(createReadStream(path, { highWaterMark: 1 << 20 }));

let engine;
let opened;
const progress = [];

before(async () => {
  engine = await Engine.instantiate(wasm);
  opened = await engine.load(stream(), { bytes, onProgress: (at) => progress.push(at) });
});

const job = () => ({
  input: engine.promptTokens(recorded.messages),
  max_tokens: recorded.max_tokens,
  sampling: recorded.sampling,
});

async function answer(events, job, options) {
  const generation = engine.generate(job, options);
  for (;;) {
    const { value, done } = await generation.next();
    if (done) return value;
    events.push(value);
  }
}

test("loads a model in pieces and says how far it is", () => {
  assert.equal(opened.root, recorded.model_root);
  assert.equal(opened.tokenizer, true);
  assert.ok(progress.length > 10);
  assert.deepEqual(progress.at(-1), { done: bytes, total: bytes });
});

test("gives the answer that the native engine gives", async () => {
  const events = [];
  const transcript = await answer(events, job());
  assert.deepEqual(transcript, recorded.transcript);
  assert.deepEqual(events.map((event) => event.token), transcript.output);
});

test("answers several at once, each as if it were alone", async () => {
  const first = job();
  const second = { ...first, max_tokens: 7 };
  const [one, two] = await Promise.all([answer([], first), answer([], second)]);
  assert.deepEqual(one, recorded.transcript);
  assert.deepEqual(two.output, one.output.slice(0, 7));
});

test("confirms a true answer and refutes a wrong one", async () => {
  const { output, finish } = recorded.transcript;
  const confirmed = await engine.check(job(), recorded.transcript);
  assert.deepEqual(confirmed.match.transcript, recorded.transcript);
  const wrong = output.with(5, output[5] ^ 1);
  const { mismatch } = await engine.check(job(), { output: wrong, finish });
  assert.equal(mismatch.position, 5);
  assert.equal(mismatch.expected, output[5]);
});

test("stops when it is told to and goes on with the next", async () => {
  const abort = new AbortController();
  const generation = engine.generate({ ...job(), max_tokens: 500 }, { signal: abort.signal });
  await generation.next();
  abort.abort();
  await assert.rejects(async () => { for await (const _ of generation); }, { name: "AbortError" });
  assert.equal((await answer([], { ...job(), max_tokens: 3 })).output.length, 3);
});

test("says in words what it refuses", async () => {
  assert.throws(() => engine.promptTokens([{ role: "nobody", content: "" }]), EngineError);
  await assert.rejects(answer([], { input: [], max_tokens: 1 }), /no tokens/);
  const other = await Engine.instantiate(wasm);
  assert.throws(() => other.text([1]), /no model is open/);
  await assert.rejects(other.load(stream(), {}), /must be known/);
  await assert.rejects(other.load(stream(), { bytes: 100 }), /longer than the 100 bytes/);
  await assert.rejects(other.load(stream(ENGINE_WASM), { bytes: bytes }), /ends after/);
  await assert.rejects(other.load(stream(ENGINE_WASM), { bytes: statSync(ENGINE_WASM).size }), EngineError);
  await assert.rejects(other.load(new Response("no", { status: 404 })), /status 404/);
});
