// The page's words. English is the measure: another language that lacks a key does not compile.
// Areas are loaded with the pages that need them, so that the first paint carries few words.
import { prefs, savePrefs, type Lang } from "../prefs.svelte.ts";
import type { Catalogue } from "./types.ts";

export type Area = keyof Catalogue;
type Loaders = { [A in Area]: () => Promise<{ default: Catalogue[A] }> };

const loaders: Record<Lang, Loaders> = {
  en: {
    frame: () => import("./en/frame.ts"),
    shell: () => import("./en/shell.ts"),
    chat: () => import("./en/chat.ts"),
    errors: () => import("./en/errors.ts"),
    proof: () => import("./en/proof.ts"),
    market: () => import("./en/market.ts"),
    account: () => import("./en/account.ts"),
  },
  de: {
    frame: () => import("./de/frame.ts"),
    shell: () => import("./de/shell.ts"),
    chat: () => import("./de/chat.ts"),
    errors: () => import("./de/errors.ts"),
    proof: () => import("./de/proof.ts"),
    market: () => import("./de/market.ts"),
    account: () => import("./de/account.ts"),
  },
};

class Words {
  #loaded: Partial<Catalogue> = $state.raw({});

  #area<A extends Area>(area: A): Catalogue[A] {
    const words = this.#loaded[area];
    if (words === undefined) throw new Error(`BUG: the words of ${area} were not asked for`);
    return words as Catalogue[A];
  }

  get frame() {
    return this.#area("frame");
  }
  get shell() {
    return this.#area("shell");
  }
  get chat() {
    return this.#area("chat");
  }
  get errors() {
    return this.#area("errors");
  }
  get proof() {
    return this.#area("proof");
  }
  get market() {
    return this.#area("market");
  }
  get account() {
    return this.#area("account");
  }

  /** Loads areas; a page asks for those that it shows before it is drawn. */
  async need(...areas: Area[]): Promise<void> {
    const missing = areas.filter((area) => this.#loaded[area] === undefined);
    if (missing.length > 0) this.#loaded = { ...this.#loaded, ...(await read(prefs.lang, missing)) };
  }

  /** Changes the language once all of its words that are needed now are there. */
  async use(lang: Lang): Promise<void> {
    const loaded = await read(lang, Object.keys(this.#loaded) as Area[]);
    prefs.lang = lang;
    savePrefs();
    document.documentElement.lang = lang;
    this.#loaded = loaded;
  }
}

async function read(lang: Lang, areas: Area[]): Promise<Partial<Catalogue>> {
  const found = await Promise.all(areas.map(async (area) => [area, (await loaders[lang][area]()).default] as const));
  return Object.fromEntries(found) as Partial<Catalogue>;
}

export const words = new Words();
