// Sealed copies of chats in the page's canister: when they are exchanged, how that stands, and the key.
import type { Trouble } from "../chat/types.ts";
import { env, me } from "../ic/connection.ts";
import { trouble } from "../ic/errors.ts";
import { guest, persist } from "../ic/guest.ts";
import { KEPT_MS, KEY_TRIES_MAX } from "../limits.ts";
import { prefs } from "../prefs.svelte.ts";
import { session } from "../session.svelte.ts";
import { database } from "../store/db.ts";
import { exchange, placeOf, type Progress } from "./exchange.ts";
import { keeper, type Keeper, type Line } from "./keeper.ts";
import { keyText, makeKey, readKey, storeKey, storedKey } from "./key.ts";
import { open } from "./seal.ts";
import { beginAnew, forgetAll, forgetSealed, shelf, useNewKey } from "./shelf.ts";
import { tell } from "./tell.ts";

/** Another account acts now, or copies are no longer wanted: the exchange ends where it is. */
class Ended extends Error {
  override name = "Ended";
}

class Kept {
  /** Copies that lie there for the account that acts; nothing until it is known. */
  count: number | undefined = $state();
  /** Those that the key does not open. */
  sealed = $state(0);
  /** Whether this browser has a key. Where copies lie there and it has none, nothing goes in or out. */
  hasKey = $state(false);
  /** Titles of chats that are too large to go there. */
  large: string[] = $state.raw([]);
  busy = $state(false);
  progress: Progress | undefined = $state.raw();
  trouble: Trouble | undefined = $state.raw();
  /** When the last exchange ended well. */
  at = $state(0);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #started = false;
  #again = false;
  /** Whose numbers these are. */
  #owner = "";
  /** Somebody wants everything dropped. */
  #dropping = false;

  /** Why copies cannot be kept, if so: the address names no canister, or the browser keeps no key. */
  async unavailable(): Promise<"address" | "browser" | undefined> {
    if (!canSeal() || (await database()) === undefined) return "browser";
    try {
      return env().frontend === undefined ? "address" : undefined;
    } catch {
      return "address";
    }
  }

  /** Exchanges now, and whenever there is a reason to. */
  start(): void {
    if (this.#started) return this.soon(0);
    this.#started = true;
    void storedKey().then((key) => (this.hasKey = key !== undefined));
    addEventListener("online", () => this.soon(0));
    // Another account has other copies.
    $effect.root(() => {
      $effect(() => {
        if (session.principal !== "") this.soon(0);
      });
    });
  }

  /** Somebody wants copies from now on. */
  async begin(): Promise<void> {
    await beginAnew();
    void persist();
    this.start();
  }

  /** Copies follow when nothing has changed for a while. */
  soon(ms = KEPT_MS): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.run(), ms);
  }

  run = async (): Promise<void> => {
    clearTimeout(this.#timer);
    if (prefs.keep !== "canister" || !session.online) return;
    if (this.busy) {
      this.#again = true;
      return;
    }
    this.busy = true;
    try {
      await alone(() => this.#exchange());
    } catch (error) {
      if (error instanceof Ended) this.#again = true;
      else this.#fail(trouble(error));
    }
    this.busy = false;
    this.progress = undefined;
    if (this.#again) {
      this.#again = false;
      this.soon();
    }
  };

  /** Somebody wants to know: what did not open is fetched once more, for a node may have given something else. */
  async compare(): Promise<void> {
    await forgetSealed();
    await this.run();
  }

  async #exchange(): Promise<void> {
    const identity = await me();
    const owner = identity.getPrincipal().toText();
    if (owner !== this.#owner) this.#forget(owner);
    const [there, here] = await Promise.all([keeper(identity), shelf()]);
    if (here === undefined) return;
    const list = await there.list();
    const key = (await storedKey()) ?? (list.length === 0 ? await newKey() : undefined);
    this.count = list.length;
    this.hasKey = key !== undefined;
    if (key !== undefined) {
      const report = (progress: Progress): void => void (this.progress = progress);
      const check = (): void => {
        if (prefs.keep !== "canister" || session.principal !== owner || this.#dropping) throw new Ended("no longer wanted");
      };
      const { count, sealed, large, fresh } = await exchange({ keeper: there, shelf: here, key, report, check }, list);
      this.count = count;
      this.sealed = sealed;
      this.large = large;
      if (fresh > 0) tell((m) => m.came(fresh));
      if (sealed > 0) tell((m) => m.sealed(sealed), { once: `sealed ${owner}` });
      for (const title of large) tell((m) => m.large(title), { once: `large ${title}` });
    } else tell((m) => m.keyless(list.length), { once: `keyless ${owner}` });
    this.trouble = undefined;
    this.at = Date.now();
  }

  /** Nothing is known yet of this account's copies. */
  #forget(owner: string): void {
    this.#owner = owner;
    this.count = undefined;
    this.sealed = 0;
    this.large = [];
  }

  /** Told once; until it is over, the settings say it. */
  #fail(found: Trouble): void {
    const first = this.trouble === undefined;
    this.trouble = found;
    if (first) tell((m) => m.failed, { retry: () => void this.run() });
  }

  /** The key as text, for other devices. */
  async keyText(): Promise<string | undefined> {
    const key = await storedKey();
    return key && keyText(key);
  }

  /** A key of its own for this browser. Copies that it does not open stay where they are. */
  async freshKey(): Promise<void> {
    await alone(() => newKey());
    this.hasKey = true;
    this.soon(0);
  }

  /** Takes a key from elsewhere. It must open a copy that is closed here, if there is one: a mistyped key is a key, too. */
  async enterKey(text: string): Promise<"ok" | "form" | "none"> {
    const key = await readKey(text);
    if (key === undefined) return "form";
    const came = await alone(async () => {
      const present = await storedKey();
      if (present !== undefined && (await keyText(present)) === (await keyText(key))) return "ok";
      const there = await keeper(await me());
      const copies = await (await shelf())?.copies(there.id);
      const isClosed = ({ name }: Line): boolean => present === undefined || (copies?.get(name)?.state ?? "sealed") === "sealed";
      const closed = (await there.list()).filter(isClosed);
      if (closed.length > 0 && !(await opensOne(key, there, closed))) return "none";
      await storeKey(key);
      await useNewKey();
      return "ok";
    });
    if (came === "ok") {
      this.hasKey = true;
      this.soon(0);
    }
    return came;
  }

  /** Drops what the key here does not open. */
  async dropSealed(): Promise<void> {
    await alone(async () => {
      const there = await keeper(await me());
      const here = await shelf();
      for (const [name, copy] of (await here?.copies(there.id)) ?? []) {
        if (copy.state !== "sealed") continue;
        await there.drop(name);
        await here?.forget(copy);
      }
    });
    this.sealed = 0;
    this.soon(0);
  }

  /** Drops everything that accounts of this browser keep there. */
  async dropAll(): Promise<void> {
    this.#dropping = true;
    await alone(async () => {
      const acting = await me();
      const other = await guest();
      const both = acting.getPrincipal().compareTo(other.getPrincipal()) === "eq" ? [acting] : [acting, other];
      for (const identity of both) {
        const there = await keeper(identity);
        await there.dropAll();
        await forgetAll(there.id);
      }
    }).finally(() => (this.#dropping = false));
    this.count = 0;
    this.sealed = 0;
  }
}

const canSeal = (): boolean => globalThis.crypto?.subtle !== undefined && "CompressionStream" in globalThis;

async function newKey(): Promise<CryptoKey> {
  const key = await makeKey();
  await storeKey(key);
  await useNewKey();
  return key;
}

/** Small copies are tried first. */
async function opensOne(key: CryptoKey, there: Keeper, lines: Line[]): Promise<boolean> {
  for (const { name } of lines.sort((a, b) => a.bytes - b.bytes).slice(0, KEY_TRIES_MAX)) {
    const bytes = await there.fetch(name);
    if (bytes !== undefined && (await open(key, placeOf(there, name), bytes)) !== undefined) return true;
  }
  return false;
}

/** Of several tabs, one at a time. */
async function alone<T>(run: () => Promise<T>): Promise<T> {
  return navigator.locks === undefined ? run() : navigator.locks.request("assay-kept", run);
}

export const kept = new Kept();
