// Numbers, money and times for people, in the language of the page.
import { prefs } from "./prefs.svelte.ts";

const cache = new Map<string, Intl.NumberFormat>();

function numbers(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = prefs.lang + JSON.stringify(options);
  let format = cache.get(key);
  if (format === undefined) cache.set(key, (format = new Intl.NumberFormat(prefs.lang, options)));
  return format;
}

export const number = (value: number | bigint, digits = 0): string =>
  numbers({ maximumFractionDigits: digits }).format(value);

export const percent = (share: number): string => numbers({ style: "percent", maximumFractionDigits: 1 }).format(share);

const UNITS = [
  [1_000_000_000_000n, "T"],
  [1_000_000_000n, "G"],
  [1_000_000n, "M"],
  [1_000n, "k"],
] as const;

/** Cycles with the unit that keeps three or four digits; their exact number belongs beside it, as a title. */
export function cycles(amount: bigint): string {
  const size = amount < 0n ? -amount : amount;
  const [unit, letter] = UNITS.find(([least]) => size >= least) ?? [1n, ""];
  const value = Number((amount * 1_000n) / unit) / 1_000;
  return `${numbers({ maximumSignificantDigits: 4 }).format(value)}${letter === "" ? "" : ` ${letter}`}`;
}

export function bytes(count: number | bigint): string {
  const value = Number(count);
  const steps = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(steps.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3));
  return `${numbers({ maximumSignificantDigits: 3 }).format(value / 1000 ** step)} ${steps[step]}`;
}

export const millis = (nanos: bigint): number => Number(nanos / 1_000_000n);

export function time(ms: number): string {
  return new Intl.DateTimeFormat(prefs.lang, { dateStyle: "medium", timeStyle: "medium" }).format(ms);
}

export function day(ms: number): string {
  return new Intl.DateTimeFormat(prefs.lang, { dateStyle: "medium" }).format(ms);
}

const AGES: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
];

export function ago(ms: number, now = Date.now()): string {
  const passed = Math.max(0, now - ms);
  const [unit, size] = AGES.find(([, least]) => passed >= least) ?? ["second", 1_000];
  return new Intl.RelativeTimeFormat(prefs.lang, { numeric: "auto" }).format(-Math.floor(passed / size), unit);
}

export function seconds(ms: number): string {
  return numbers({ style: "unit", unit: "second", maximumFractionDigits: ms < 10_000 ? 1 : 0 }).format(ms / 1_000);
}

/** The first and last digits of a hash or the first group of a principal. */
export const short = (text: string): string => (text.includes("-") ? `${text.split("-")[0]}…` : `${text.slice(0, 8)}…`);
