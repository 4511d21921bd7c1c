// What the page and the engine's worker say to each other.
import type { Job, Progress } from "$engine/engine.js";

interface To {
  id: number;
}

/** Which weights: by their root, which names them and is checked. */
interface Which extends To {
  root: string;
}

export type Ask =
  | (Which & { do: "have" })
  | (Which & { do: "remove" })
  | (Which & { do: "fetch"; urls: string[]; bytes: number })
  | (Which & { do: "take"; file: File; bytes: number })
  | (Which & { do: "load"; wasm: string })
  | (To & { do: "tokens"; messages: { role: string; content: string }[] })
  | (To & { do: "generate"; job: Job })
  | (To & { do: "check"; job: Job; claim: { output: number[]; finish: "stop" | "length" } })
  | (To & { do: "abort" });

/** Text so far, of so many tokens. */
export interface Heard {
  tokens: number;
  text: string;
}

export type Told =
  | { id: number; progress: Progress }
  | { id: number; event: Heard }
  | { id: number; ok: unknown }
  | { id: number; error: { name: string; message: string } };
