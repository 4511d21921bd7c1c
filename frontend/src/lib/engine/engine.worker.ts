// The engine in a worker of its own, so that the page stays free while it computes, and weights are written piece by piece.
import { Engine, type Job, type Opened, type Progress } from "$engine/engine.js";
import type { Ask, Told } from "./words.ts";
import { WeightsError, fetchFrom, keep, remove, stored } from "./weights.ts";

let engine: Engine | undefined;
const running = new Map<number, AbortController>();
const tell = (told: Told): void => self.postMessage(told);

function loaded(): Engine {
  if (engine === undefined) throw new WeightsError("no model is loaded");
  return engine;
}

async function load(ask: Ask & { do: "load" }, signal: AbortSignal): Promise<Opened> {
  const onProgress = throttled<Progress>((progress) => tell({ id: ask.id, progress }));
  const file = await stored(ask.root);
  if (file === undefined) throw new WeightsError("the weights are not on this device");
  engine = await Engine.instantiate(await WebAssembly.compileStreaming(fetch(ask.wasm, { signal })));
  return engine.load(file.stream(), { bytes: file.size, root: ask.root, signal, onProgress });
}

async function generate(id: number, job: Job, signal: AbortSignal): Promise<unknown> {
  const answer = loaded().generate(job, { signal });
  const tokens: number[] = [];
  let told = 0;
  for (;;) {
    const { value, done } = await answer.next();
    if (done) return value;
    tokens.push(value.token);
    // A token alone need not be whole characters, so all of them are read together, and not for each one.
    if (performance.now() - told > 60) {
      told = performance.now();
      tell({ id, event: { tokens: tokens.length, text: loaded().text(tokens) } });
    }
  }
}

async function run(ask: Exclude<Ask, { do: "abort" }>, signal: AbortSignal): Promise<unknown> {
  const onProgress = throttled<Progress>((progress) => tell({ id: ask.id, progress }));
  if (ask.do === "have") return (await stored(ask.root))?.size;
  if (ask.do === "remove") return remove(ask.root);
  if (ask.do === "fetch") return keep(ask.root, await fetchFrom(ask.urls, ask.bytes, signal), ask.bytes, signal, onProgress);
  if (ask.do === "take") {
    if (ask.file.size !== ask.bytes) throw new WeightsError(`the file has ${ask.file.size} bytes, the model has ${ask.bytes}`);
    return keep(ask.root, ask.file.stream(), ask.bytes, signal, onProgress);
  }
  if (ask.do === "load") return load(ask, signal);
  if (ask.do === "tokens") return loaded().promptTokens(ask.messages);
  if (ask.do === "generate") return generate(ask.id, ask.job, signal);
  return loaded().check(ask.job, ask.claim, { signal, onProgress });
}

function throttled<T>(report: (value: T) => void): (value: T) => void {
  let last = 0;
  return (value) => {
    const now = performance.now();
    if (now - last < 80) return;
    last = now;
    report(value);
  };
}

self.onmessage = async ({ data }: MessageEvent<Ask>) => {
  if (data.do === "abort") return running.get(data.id)?.abort();
  const abort = new AbortController();
  running.set(data.id, abort);
  try {
    tell({ id: data.id, ok: await run(data, abort.signal) });
  } catch (error) {
    const { name, message } = error instanceof Error ? error : { name: "Error", message: String(error) };
    tell({ id: data.id, error: { name, message } });
  } finally {
    running.delete(data.id);
  }
};
