// The header list of `assets.json`, as a server applies it.
import { readFileSync } from "node:fs";

interface Rule {
  match: string;
  headers: Record<string, string>;
}

interface Assets {
  headers: Record<string, string>;
  rules: Rule[];
  types: Record<string, string>;
}

const assets = JSON.parse(readFileSync(new URL("../assets.json", import.meta.url), "utf8")) as Assets;

/** What an answer for this path carries: all common headers, and those of the first rule that fits. */
export function headersFor(path: string): Record<string, string> {
  const rule = assets.rules.find(({ match }) => path.startsWith(match));
  return { ...assets.headers, ...rule?.headers };
}
