// The page's side of the engine's worker.
import type { Checked, Job, Opened, Progress, Transcript } from "$engine/engine.js";
import wasm from "virtual:engine";
import { scriptUrl } from "../trusted.ts";
import workerUrl from "./engine.worker.ts?worker&url";
import type { Ask, Heard, Told } from "./words.ts";

interface Options {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
  onHeard?: (heard: Heard) => void;
}

interface Waiting extends Options {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

type Without<A> = A extends unknown ? Omit<A, "id"> : never;

export class EngineClient {
  #worker = new Worker(scriptUrl(workerUrl), { type: "module" });
  #next = 0;
  #waiting = new Map<number, Waiting>();

  constructor() {
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Told>) => {
      const waiting = this.#waiting.get(data.id);
      if (waiting === undefined) return;
      if ("progress" in data) waiting.onProgress?.(data.progress);
      else if ("event" in data) waiting.onHeard?.(data.event);
      else if ("error" in data) waiting.reject(Object.assign(new Error(data.error.message), { name: data.error.name }));
      else waiting.resolve(data.ok);
    });
    this.#worker.addEventListener("error", (event) => this.#fail(new Error(event.message || "the engine's worker could not be started")));
  }

  have = (root: string): Promise<number | undefined> => this.#ask({ do: "have", root });
  remove = (root: string): Promise<void> => this.#ask({ do: "remove", root });
  fetch = (root: string, urls: string[], bytes: number, options: Options): Promise<void> =>
    this.#ask({ do: "fetch", root, urls, bytes }, options);
  take = (root: string, file: File, bytes: number, options: Options): Promise<void> => this.#ask({ do: "take", root, file, bytes }, options);
  load = (root: string, options: Options): Promise<Opened> => this.#ask({ do: "load", root, wasm: new URL(wasm, location.href).href }, options);
  tokens = (messages: { role: string; content: string }[]): Promise<number[]> => this.#ask({ do: "tokens", messages });
  generate = (job: Job, options: Options): Promise<Transcript> => this.#ask({ do: "generate", job }, options);
  check = (job: Job, claim: { output: number[]; finish: "stop" | "length" }, options: Options): Promise<Checked> =>
    this.#ask({ do: "check", job, claim }, options);

  /** Ends the worker and frees its memory. */
  close(): void {
    this.#worker.terminate();
    this.#fail(new Error("the engine was closed"));
  }

  #fail(error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }

  #ask<T>(ask: Without<Ask>, options: Options = {}): Promise<T> {
    const id = ++this.#next;
    const { signal } = options;
    const abort = (): void => this.#worker.postMessage({ id, do: "abort" } satisfies Ask);
    const result = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { ...options, resolve, reject });
      this.#worker.postMessage({ ...ask, id });
      if (signal?.aborted) abort();
      signal?.addEventListener("abort", abort);
    });
    return result.finally(() => {
      signal?.removeEventListener("abort", abort);
      this.#waiting.delete(id);
    }) as Promise<T>;
  }
}
