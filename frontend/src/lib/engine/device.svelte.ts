// Models on this device: what lies here, what is on its way, and the one that is in memory.
import type { Opened } from "$engine/engine.js";
import { hex } from "../bytes.ts";
import type { Model } from "../ic/types.ts";
import type { EngineClient } from "./client.ts";

export type Stage = "unknown" | "absent" | "fetching" | "stored" | "loading" | "ready" | "failed";

export interface Local {
  stage: Stage;
  done: number;
  total: number;
  error: string;
}

export const rootOf = (model: Model): string => hex(Uint8Array.from(model.manifest.model_root));
export const bytesOf = (model: Model): number => Number(model.manifest.files[0]?.bytes ?? 0n);

/** Larger files do not fit beside everything else into a page's memory. */
export const DEVICE_BYTES_MAX = 1_500_000_000;

/** Whether this page could run a model: one file of the engine's own semantics, small enough. */
export function runsHere({ manifest }: Model): boolean {
  const [file] = manifest.files;
  const isOurs = manifest.semantics === "CIS-1" && manifest.files.length === 1 && file !== undefined && file.name.endsWith(".assay");
  return isOurs && Number(file.bytes) <= DEVICE_BYTES_MAX && globalThis.navigator?.storage?.getDirectory !== undefined;
}

class Device {
  models: Record<string, Local> = $state({});
  /** Root of the model in memory. */
  #engine: { root: string; client: EngineClient; opened: Promise<Opened> } | undefined;
  #files: Promise<EngineClient> | undefined;
  #fetching = new Map<string, AbortController>();

  of(model: Model): Local {
    return this.models[rootOf(model)] ?? { stage: "unknown", done: 0, total: bytesOf(model), error: "" };
  }

  /** Looks whether the weights lie here. */
  async look(model: Model): Promise<void> {
    const root = rootOf(model);
    if (this.models[root] !== undefined) return;
    const size = await (await this.#keeper()).have(root).catch(() => undefined);
    this.models[root] ??= { stage: size === bytesOf(model) ? "stored" : "absent", done: 0, total: bytesOf(model), error: "" };
  }

  /** From this page's own server first, then from where the registry says; or a file that the person has. */
  async fetch(model: Model, file?: File): Promise<void> {
    const root = rootOf(model);
    const local = this.#set(root, { stage: "fetching", done: 0, total: bytesOf(model), error: "" });
    const abort = new AbortController();
    this.#fetching.set(root, abort);
    const options = { signal: abort.signal, onProgress: ({ done }: { done: number }) => (local.done = done) };
    try {
      const keeper = await this.#keeper();
      const [entry] = model.manifest.files;
      const urls = [new URL(`/models/${entry?.name ?? ""}`, location.href).href, ...(entry?.urls ?? [])];
      if (file !== undefined) await keeper.take(root, file, local.total, options);
      else await keeper.fetch(root, urls, local.total, options);
      local.stage = "stored";
    } catch (error) {
      local.stage = abort.signal.aborted ? "absent" : "failed";
      local.error = error instanceof Error ? error.message : String(error);
    } finally {
      this.#fetching.delete(root);
    }
  }

  cancel(model: Model): void {
    this.#fetching.get(rootOf(model))?.abort();
  }

  async remove(model: Model): Promise<void> {
    const root = rootOf(model);
    if (this.#engine?.root === root) this.#unload();
    await (await this.#keeper()).remove(root);
    this.#set(root, { stage: "absent", done: 0, total: bytesOf(model), error: "" });
  }

  /** The engine with this model in memory; another one leaves it. */
  async engine(model: Model): Promise<{ client: EngineClient; opened: Opened }> {
    const root = rootOf(model);
    if (this.#engine?.root !== root) {
      this.#unload();
      const local = this.#set(root, { stage: "loading", done: 0, total: bytesOf(model), error: "" });
      const { EngineClient } = await import("./client.ts");
      const client = new EngineClient();
      const opened = client.load(root, { onProgress: ({ done }) => (local.done = done) });
      this.#engine = { root, client, opened };
      opened.then(
        () => (local.stage = "ready"),
        (error: unknown) => {
          local.stage = "failed";
          local.error = error instanceof Error ? error.message : String(error);
          this.#engine = undefined;
          client.close();
        },
      );
    }
    if (this.#engine === undefined) throw new Error("BUG: no engine was made");
    const { client, opened } = this.#engine;
    return { client, opened: await opened };
  }

  #unload(): void {
    const root = this.#engine?.root;
    this.#engine?.client.close();
    this.#engine = undefined;
    const local = root === undefined ? undefined : this.models[root];
    if (local?.stage === "ready" || local?.stage === "loading") local.stage = "stored";
  }

  #set(root: string, local: Local): Local {
    this.models[root] = local;
    return this.models[root] ?? local;
  }

  #keeper(): Promise<EngineClient> {
    this.#files ??= import("./client.ts").then(({ EngineClient }) => new EngineClient());
    return this.#files;
  }
}

export const device = new Device();
