// A page's side of `worker.js`: the engine's methods, computed elsewhere.
//
//   const engine = new EngineWorker(new Worker(new URL("./worker.js", import.meta.url), { type: "module" }));
//   await engine.load({ wasm: wasmUrl, url: modelUrl, root }, { onProgress });
//   const transcript = await engine.generate(job, { onEvent, signal });
import { EngineError } from "./engine.js";

export class EngineWorker {
  #worker;
  #next = 0;
  #waiting = new Map();

  /** @param {Worker} worker one that runs `worker.js`; it holds one model, so another model wants another one */
  constructor(worker) {
    this.#worker = worker;
    worker.addEventListener("message", ({ data: { id, progress, event, ok, error } }) => {
      const waiting = this.#waiting.get(id);
      if (waiting === undefined) return;
      if (progress !== undefined) waiting.onProgress?.(progress);
      else if (event !== undefined) waiting.onEvent?.(event);
      else if (error !== undefined) waiting.reject(asError(error));
      else waiting.resolve(ok);
    });
    worker.addEventListener("error", (event) => {
      const error = new EngineError(`the engine's worker failed: ${event.message ?? "it could not be started"}`);
      for (const waiting of this.#waiting.values()) waiting.reject(error);
    });
  }

  /** @param {{ wasm: string, url: string, root?: string }} from where module and model are fetched, and the root that it must have */
  load(from, options) {
    return this.#do("load", [from], options);
  }

  promptTokens(messages) {
    return this.#do("promptTokens", [messages]);
  }

  text(tokens) {
    return this.#do("text", [tokens]);
  }

  /** Resolves to the transcript; `options.onEvent` hears of every token. */
  generate(job, options) {
    return this.#do("generate", [job], options);
  }

  check(job, claim, options) {
    return this.#do("check", [job, claim], options);
  }

  /** Ends the worker and frees the model. */
  close() {
    this.#worker.terminate();
    for (const waiting of this.#waiting.values()) waiting.reject(new EngineError("the engine was closed"));
  }

  #do(what, given, { signal, onProgress, onEvent } = {}) {
    const id = ++this.#next;
    const abort = () => this.#worker.postMessage({ id, do: "abort" });
    const result = new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, onProgress, onEvent });
      this.#worker.postMessage({ id, do: what, with: given });
      if (signal?.aborted) abort();
      signal?.addEventListener("abort", abort);
    });
    return result.finally(() => {
      signal?.removeEventListener("abort", abort);
      this.#waiting.delete(id);
    });
  }
}

function asError({ name, message }) {
  return name === "AbortError" ? new DOMException(message, name) : new EngineError(message);
}
