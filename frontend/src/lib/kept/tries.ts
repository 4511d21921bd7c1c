// Whether a key that somebody entered is one of this account's: a mistyped key is a key, too.
import { KEY_TRIES_MAX } from "../limits.ts";
import type { KeptCopy } from "../store/db.ts";
import { placeOf } from "./exchange.ts";
import type { Keeper, Line } from "./keeper.ts";
import { open } from "./seal.ts";

/**
 * It must open a copy that is closed here, or any where none is closed; where nothing lies, every key will do. `copies` is what is
 * known of them with the present key, if there is one.
 */
export async function fits(key: CryptoKey, keeper: Keeper, copies: ReadonlyMap<string, KeptCopy> | undefined): Promise<boolean> {
  const lines = await keeper.list();
  const closed = lines.filter(({ name }) => (copies?.get(name)?.state ?? "sealed") === "sealed");
  return lines.length === 0 || opensOne(key, keeper, closed.length > 0 ? closed : lines);
}

/** Small copies are tried first. */
async function opensOne(key: CryptoKey, keeper: Keeper, lines: Line[]): Promise<boolean> {
  const bySize = [...lines].sort((a, b) => a.bytes - b.bytes);
  for (const { name } of bySize.slice(0, KEY_TRIES_MAX)) {
    const found = await keeper.fetch(name);
    if (found !== undefined && (await open(key, placeOf(keeper, name), found.sealed)) !== undefined) return true;
  }
  return false;
}
