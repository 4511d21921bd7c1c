declare module "virtual:engine" {
  /** Where the engine's module is fetched from. */
  const url: string;
  export default url;
}

/** The scripts of `crates/engine-web`, as far as the page uses them. */
declare module "$engine/engine.js" {
  export interface Opened {
    root: string;
    name: string;
    spec: string;
    context_max: number;
    tokenizer: boolean;
  }
  export interface Draws {
    temperature_milli?: number;
    top_p_ppm?: number;
    top_k?: number;
    min_p_ppm?: number;
    seed?: string;
  }
  export interface Job {
    input: number[];
    max_tokens: number;
    sampling?: Draws;
    stop?: string[];
  }
  export interface Transcript {
    output: number[];
    finish: "stop" | "length";
    trace_root: string;
    text?: string;
  }
  export type Checked =
    | { match: { transcript: Transcript } }
    | { mismatch: { position: number; expected: number | null; trace_root: string } };
  export interface Progress {
    done: number;
    total: number;
  }
  export class EngineError extends Error {}
  export class Engine {
    static instantiate(wasm: WebAssembly.Module): Promise<Engine>;
    load(
      source: ReadableStream<Uint8Array>,
      options: { bytes: number; root?: string; signal?: AbortSignal; onProgress?: (progress: Progress) => void },
    ): Promise<Opened>;
    promptTokens(messages: { role: string; content: string }[]): number[];
    text(tokens: number[]): string;
    generate(job: Job, options?: { signal?: AbortSignal }): AsyncGenerator<{ index: number; token: number }, Transcript>;
    check(
      job: Job,
      claim: { output: number[]; finish: "stop" | "length" },
      options?: { signal?: AbortSignal; onProgress?: (progress: Progress) => void },
    ): Promise<Checked>;
  }
}
