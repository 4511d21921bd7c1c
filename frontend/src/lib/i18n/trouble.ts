// What went wrong, in the page's language: what failed, and what to do next.
import type { Trouble } from "../chat/types.ts";
import { words } from "./index.svelte.ts";
import type { Say } from "./say.ts";

export interface Told {
  what: string;
  next: string;
  /** In the words of whoever refused. */
  detail: string;
}

export function tellTrouble({ area, name, detail }: Trouble): Told {
  const cases: Record<string, Say> = words.errors[area];
  const say = cases[name] ?? cases["Other"] ?? words.errors.call.Other;
  const { what, next } = say(new Proxy(detail, { get: (fields, key) => fields[String(key)] ?? "" }));
  return { what, next, detail: detail["message"] ?? (name === "Other" ? (detail["value"] ?? "") : "") };
}
