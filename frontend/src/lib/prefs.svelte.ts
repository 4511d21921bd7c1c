// Small choices that outlast a visit, in localStorage. Where that is refused they last as long as the page.
import { CHECKERS_MAX, OUTPUT_TOKENS_MAX, REPLICAS_MAX, SYSTEM_CHARS_MAX, TEMPERATURE_MILLI_MAX } from "./limits.ts";

export type Theme = "system" | "light" | "dark";
export type Lang = "en" | "de";
/** Where an answer is made. */
export type Place = "network" | "device";
/** Where chats are kept; `canister` is the device, and sealed copies in the page's canister. */
export type Keep = "device" | "canister" | "none";
export type Sureness =
  | { kind: "single" }
  | { kind: "checked"; checkers: number }
  | { kind: "equality"; total: number };

export interface Drawing {
  temperatureMilli: number;
  topPPpm: number;
  topK: number;
  maxTokens: number;
  /** Decimal digits; empty lets the canister, or this page, draw one. */
  seed: string;
  system: string;
}

export interface Prefs {
  theme: Theme;
  lang: Lang;
  place: Place;
  keep: Keep;
  /** The registered name; empty takes the first that is offered. */
  model: string;
  sureness: Sureness;
  drawing: Drawing;
  sidebar: boolean;
}

/** Where they lie in localStorage. */
export const KEY = "assay";

export const DRAWING: Drawing = { temperatureMilli: 0, topPPpm: 1_000_000, topK: 0, maxTokens: 256, seed: "", system: "" };

const system = (): Lang => (globalThis.navigator?.language?.toLowerCase().startsWith("de") ? "de" : "en");

function defaults(): Prefs {
  return {
    theme: "system",
    lang: system(),
    place: "network",
    keep: "device",
    model: "",
    sureness: { kind: "checked", checkers: 1 },
    drawing: { ...DRAWING },
    sidebar: true,
  };
}

/** Anything may stand in storage, an older release's words included. */
export function readPrefs(text: string | null): Prefs {
  const prefs = defaults();
  let found: unknown;
  try {
    found = JSON.parse(text ?? "{}");
  } catch {
    return prefs;
  }
  if (typeof found !== "object" || found === null) return prefs;
  const given = found as Record<string, unknown>;
  const one = <T>(value: unknown, among: readonly T[], other: T): T => (among.includes(value as T) ? (value as T) : other);
  prefs.theme = one(given["theme"], ["system", "light", "dark"], prefs.theme);
  prefs.lang = one(given["lang"], ["en", "de"], prefs.lang);
  prefs.place = one(given["place"], ["network", "device"], prefs.place);
  prefs.keep = one(given["keep"], ["device", "canister", "none"], prefs.keep);
  if (typeof given["model"] === "string") prefs.model = given["model"].slice(0, 64);
  if (typeof given["sidebar"] === "boolean") prefs.sidebar = given["sidebar"];
  prefs.sureness = readSureness(given["sureness"]) ?? prefs.sureness;
  prefs.drawing = readDrawing(given["drawing"]);
  return prefs;
}

function whole(value: unknown, least: number, most: number): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most ? value : undefined;
}

function readSureness(value: unknown): Sureness | undefined {
  const given = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const checkers = whole(given["checkers"], 1, CHECKERS_MAX);
  const total = whole(given["total"], 2, REPLICAS_MAX);
  if (given["kind"] === "single") return { kind: "single" };
  if (given["kind"] === "checked" && checkers !== undefined) return { kind: "checked", checkers };
  if (given["kind"] === "equality" && total !== undefined) return { kind: "equality", total };
  return undefined;
}

function readDrawing(value: unknown): Drawing {
  const given = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const seed = given["seed"];
  const text = given["system"];
  return {
    temperatureMilli: whole(given["temperatureMilli"], 0, TEMPERATURE_MILLI_MAX) ?? DRAWING.temperatureMilli,
    topPPpm: whole(given["topPPpm"], 1, 1_000_000) ?? DRAWING.topPPpm,
    topK: whole(given["topK"], 0, 1_000_000) ?? DRAWING.topK,
    maxTokens: whole(given["maxTokens"], 1, OUTPUT_TOKENS_MAX) ?? DRAWING.maxTokens,
    seed: typeof seed === "string" && isSeed(seed) ? seed : "",
    system: typeof text === "string" ? text.slice(0, SYSTEM_CHARS_MAX) : "",
  };
}

/** Whether a text is a seed: nothing, or a number of 64 bits. */
export function isSeed(text: string): boolean {
  return text === "" || (/^\d{1,20}$/.test(text) && BigInt(text) < 1n << 64n);
}

/** What lies there now. */
export function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export const prefs: Prefs = $state(readPrefs(globalThis.localStorage === undefined ? null : stored()));

/** Keeps what was chosen. */
export function savePrefs(): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(prefs));
  } catch {
    // Private windows may refuse; the choice holds until the page closes.
  }
}

/** Forgets every choice. */
export function resetPrefs(): void {
  Object.assign(prefs, defaults());
  try {
    localStorage.removeItem(KEY);
  } catch {
    // As above.
  }
}
