// The engine in JavaScript: one model in one WebAssembly module. Runs where WebAssembly with vectors does: browsers, their workers, Node.js.
//
//   const engine = await Engine.instantiate(await WebAssembly.compileStreaming(fetch(wasmUrl)));
//   await engine.load(await fetch(modelUrl), { onProgress: ({ done, total }) => {} });
//   for await (const event of engine.generate({ input, max_tokens: 64 })) { … }
//
// Calls compute on the thread that makes them; `worker.js` keeps a page free.

/** What the engine refuses, in a sentence for people. */
export class EngineError extends Error {
  name = "EngineError";
}

/** WebAssembly's memory ends at 4 GiB; the module needs some of it besides the file. */
export const MODEL_BYTES_MAX = 3.5 * 2 ** 30;

/** Lets events, messages and paints come between two steps. */
const breathe = () => new Promise((resolve) => setTimeout(resolve, 0));

export class Engine {
  #exports;

  constructor(exports) {
    this.#exports = exports;
  }

  /**
   * @param {WebAssembly.Module | BufferSource} wasm the module, compiled or as it lies in its file
   * @returns {Promise<Engine>}
   */
  static async instantiate(wasm) {
    const module = wasm instanceof WebAssembly.Module ? wasm : await WebAssembly.compile(wasm);
    const instance = await WebAssembly.instantiate(module, {});
    return new Engine(instance.exports);
  }

  /**
   * Loads a model file, piece by piece and straight into the module's memory, and checks all of it.
   *
   * @param {Response | ReadableStream<Uint8Array>} source a response, or a stream with `options.bytes`
   * @param {{ bytes?: number, root?: string, signal?: AbortSignal,
   *   onProgress?: (progress: { done: number, total: number }) => void }} [options] length of the file; root that the model must have
   * @returns {Promise<{ root: string, name: string, spec: string, context_max: number, tokenizer: boolean }>}
   */
  async load(source, options = {}) {
    const { root, signal, onProgress } = options;
    let { bytes } = options;
    let stream = source;
    if (typeof source.body === "object" && "headers" in source) {
      if (source.ok === false) {
        throw new EngineError(`the model could not be fetched: status ${source.status}`);
      }
      stream = source.body;
      // A compressed response is longer than its header says.
      const length = source.headers.get("content-encoding") ? null : source.headers.get("content-length");
      bytes ??= length === null ? undefined : Number(length);
    }
    if (!Number.isSafeInteger(bytes) || bytes <= 0) {
      throw new EngineError("how long the model file is must be known; give its bytes");
    }
    if (bytes > MODEL_BYTES_MAX) {
      throw new EngineError(`a model of ${bytes} bytes, more than the limit of ${MODEL_BYTES_MAX}; take a smaller one`);
    }
    const at = this.#exports.room(bytes) >>> 0;
    let done = 0;
    const reader = stream.getReader();
    try {
      for (;;) {
        signal?.throwIfAborted();
        const { value, done: ended } = await reader.read();
        if (ended) break;
        if (done + value.length > bytes) {
          throw new EngineError(`the model file is longer than the ${bytes} bytes that were told`);
        }
        // Memory may have moved since the last piece.
        new Uint8Array(this.#exports.memory.buffer, at + done, value.length).set(value);
        done += value.length;
        onProgress?.({ done, total: bytes });
      }
    } catch (error) {
      await reader.cancel().catch(() => {});
      throw error;
    }
    if (done < bytes) {
      throw new EngineError(`the model file ends after ${done} of ${bytes} bytes; fetch it again`);
    }
    this.#exports.open(at, bytes);
    const opened = this.#answer();
    if (root !== undefined && root !== opened.root) {
      throw new EngineError(`the model's root is ${opened.root}, not ${root}; this is another model`);
    }
    return opened;
  }

  /** The tokens of a conversation, up to where the answer begins. @param {{ role: string, content: string }[]} messages */
  promptTokens(messages) {
    return this.#ask({ prompt_tokens: { messages } }).tokens;
  }

  /** The text of an answer's tokens. @param {number[]} tokens */
  text(tokens) {
    return this.#ask({ text: { tokens } }).text;
  }

  /**
   * Generates an answer. Yields `{ index, token }` for every token as it is drawn, with `logprobs` where they were asked for; returns
   * the transcript. Several at once share every pass over the weights.
   *
   * @param {{ input: number[], max_tokens: number, sampling?: object, stop?: string[], schema?: object, logprobs?: number }} job
   * @param {{ signal?: AbortSignal }} [options]
   */
  async *generate(job, { signal } = {}) {
    const { id } = this.#ask({ generate: job });
    const mine = [];
    this.#waiting.set(id, mine);
    try {
      for (;;) {
        signal?.throwIfAborted();
        const event = mine.shift();
        if (event === undefined) {
          await this.#step();
        } else if (event.done) {
          return event.done.transcript;
        } else if (event.failed) {
          throw new EngineError(event.failed.error);
        } else {
          const { index, token, logprobs } = event.token;
          yield logprobs === undefined ? { index, token } : { index, token, logprobs };
        }
      }
    } finally {
      this.#waiting.delete(id);
      this.#ask({ leave: { id } });
    }
  }

  /**
   * Checks an answer by running it once as input, which costs a fraction of generating it.
   *
   * @param {object} job as for {@link generate}
   * @param {{ output: number[], finish: "stop" | "length" }} claim a transcript will do
   * @param {{ signal?: AbortSignal, onProgress?: (progress: { done: number, total: number }) => void }} [options]
   * @returns {Promise<{ match: { transcript: object } } | { mismatch: { position: number, expected: number | null, trace_root: string } }>}
   */
  async check(job, { output, finish }, { signal, onProgress } = {}) {
    const { id } = this.#ask({ check: { job, claim: { output, finish } } });
    try {
      for (;;) {
        signal?.throwIfAborted();
        const { check } = this.#ask({ check_step: { id } });
        if (!check.going) return check;
        onProgress?.(check.going);
        await breathe();
      }
    } finally {
      this.#ask({ leave: { id } });
    }
  }

  #waiting = new Map();

  /** One pass for all generations; who else wants one meanwhile waits for this one. */
  #step() {
    this.#stepping ??= breathe().then(() => {
      this.#stepping = undefined;
      for (const event of this.#ask({ step: {} }).events) {
        const { id } = Object.values(event)[0];
        this.#waiting.get(id)?.push(event);
      }
    });
    return this.#stepping;
  }

  #stepping;

  #ask(request) {
    const bytes = new TextEncoder().encode(JSON.stringify(request));
    const at = this.#exports.request_room(bytes.length) >>> 0;
    new Uint8Array(this.#exports.memory.buffer, at, bytes.length).set(bytes);
    this.#exports.call();
    return this.#answer();
  }

  #answer() {
    const at = this.#exports.answer_at() >>> 0;
    const bytes = new Uint8Array(this.#exports.memory.buffer, at, this.#exports.answer_length());
    const { ok, error } = JSON.parse(new TextDecoder().decode(bytes));
    if (error !== undefined) throw new EngineError(error);
    return ok;
  }
}
