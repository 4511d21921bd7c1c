// The engine in a worker of its own, so that a page stays free while it computes. `client.js` speaks with it.
//
// In:  { id, do: "load" | "promptTokens" | "text" | "generate" | "check", with: [...] }, or { id, do: "abort" }
// Out: { id, progress } and { id, event } on the way, then { id, ok } or { id, error }
import { Engine } from "./engine.js";

let engine;
const running = new Map();

const doing = {
  async load({ wasm, url, root }, { signal, progress }) {
    engine = await Engine.instantiate(await WebAssembly.compileStreaming(fetch(wasm, { signal })));
    return engine.load(await fetch(url, { signal }), { root, signal, onProgress: progress });
  },
  promptTokens: (messages) => engine.promptTokens(messages),
  text: (tokens) => engine.text(tokens),
  async generate(job, { signal, event }) {
    const answer = engine.generate(job, { signal });
    for (;;) {
      const { value, done } = await answer.next();
      if (done) return value;
      event(value);
    }
  },
  check: (job, claim, { signal, progress }) => engine.check(job, claim, { signal, onProgress: progress }),
};

self.onmessage = async ({ data: { id, do: what, with: given } }) => {
  if (what === "abort") {
    running.get(id)?.abort();
    return;
  }
  const abort = new AbortController();
  running.set(id, abort);
  try {
    if (engine === undefined && what !== "load") throw new Error("no model is loaded; call load first");
    const ok = await doing[what](...given, {
      signal: abort.signal,
      progress: (progress) => self.postMessage({ id, progress }),
      event: (event) => self.postMessage({ id, event }),
    });
    self.postMessage({ id, ok });
  } catch (error) {
    self.postMessage({ id, error: { name: error.name, message: error.message } });
  } finally {
    running.delete(id);
  }
};
