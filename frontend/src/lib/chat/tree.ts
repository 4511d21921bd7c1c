// The tree of a conversation: which path is shown, and what else was said at a fork.
import type { Turn } from "./types.ts";

/** From the first turn to this one. */
export function path(turns: ReadonlyMap<string, Turn>, leaf: string): Turn[] {
  const found: Turn[] = [];
  const seen = new Set<string>();
  for (let turn = turns.get(leaf); turn !== undefined && !seen.has(turn.id); turn = turns.get(turn.parent)) {
    seen.add(turn.id);
    found.push(turn);
  }
  return found.reverse();
}

/** The alternatives at a fork, oldest first, itself included. */
export function siblings(turns: ReadonlyMap<string, Turn>, turn: Turn): Turn[] {
  return [...turns.values()]
    .filter((other) => other.parent === turn.parent && other.role === turn.role)
    .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
}

/** The newest turn below this one: where a person left off when that branch was shown. */
export function newestLeaf(turns: ReadonlyMap<string, Turn>, from: string): string {
  const below = new Map<string, Turn[]>();
  for (const turn of turns.values()) below.set(turn.parent, [...(below.get(turn.parent) ?? []), turn]);
  let leaf = from;
  for (let step = 0; step <= turns.size; step++) {
    const next = (below.get(leaf) ?? []).sort((a, b) => b.created - a.created || (a.id < b.id ? 1 : -1))[0];
    if (next === undefined) break;
    leaf = next.id;
  }
  return leaf;
}
