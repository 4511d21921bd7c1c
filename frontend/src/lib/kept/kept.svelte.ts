// Sealed copies of chats in the page's canister: when they are exchanged, how that stands, and the key.
import type { Trouble } from "../chat/types.ts";
import { env, me } from "../ic/connection.ts";
import { trouble } from "../ic/errors.ts";
import { guest, persist } from "../ic/guest.ts";
import { KEPT_MS } from "../limits.ts";
import { prefs } from "../prefs.svelte.ts";
import { session } from "../session.svelte.ts";
import { database } from "../store/db.ts";
import { dropSealed, exchange, type Parts, type Progress } from "./exchange.ts";
import { keeper, type Keeper } from "./keeper.ts";
import { keyText, makeKey, readKey, storeKey, storedKey } from "./key.ts";
import { beginAnew, forgetAll, forgetSealed, shelf, useNewKey, type Shelf } from "./shelf.ts";
import { tell } from "./tell.ts";
import { fits } from "./tries.ts";

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
    // Another tab may have turned copies off while this one waited for it.
    if (prefs.keep !== "canister") return;
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
      const { count, sealed, large, fresh } = await exchange(this.#parts(owner, there, here, key), list);
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

  /** What an exchange for this account works with, as long as it acts and copies are wanted. */
  #parts(owner: string, there: Keeper, here: Shelf, key: CryptoKey): Parts {
    const report = (progress: Progress): void => void (this.progress = progress);
    const check = (): void => {
      if (prefs.keep !== "canister" || session.principal !== owner) throw new Ended("no longer wanted");
    };
    return { keeper: there, shelf: here, key, report, check };
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

  /** Takes a key from elsewhere, if it fits. */
  async enterKey(text: string): Promise<"ok" | "form" | "none"> {
    const key = await readKey(text);
    if (key === undefined) return "form";
    const came = await alone(async () => {
      const present = await storedKey();
      if (present !== undefined && (await keyText(present)) === (await keyText(key))) return "ok";
      const there = await keeper(await me());
      const copies = present && (await (await shelf())?.copies(there.id));
      if (!(await fits(key, there, copies))) return "none";
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
      const identity = await me();
      const [there, here, key] = await Promise.all([keeper(identity), shelf(), storedKey()]);
      if (here !== undefined && key !== undefined) await dropSealed(this.#parts(identity.getPrincipal().toText(), there, here, key));
    });
    this.sealed = 0;
    this.soon(0);
  }

  /** Drops what the account that acts and this browser's guest keep there. Copies must be off: else they go there again. */
  async dropAll(): Promise<void> {
    await alone(async () => {
      const acting = await me();
      const other = await guest();
      const both = acting.getPrincipal().compareTo(other.getPrincipal()) === "eq" ? [acting] : [acting, other];
      for (const identity of both) {
        const there = await keeper(identity);
        await there.dropAll();
        await forgetAll(there.id);
      }
    });
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

/** Of several tabs, one at a time. */
async function alone<T>(run: () => Promise<T>): Promise<T> {
  return navigator.locks === undefined ? run() : navigator.locks.request("assay-kept", run);
}

export const kept = new Kept();
