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
    kept: () => import("./en/kept.ts"),
  },
  de: {
    frame: () => import("./de/frame.ts"),
    shell: () => import("./de/shell.ts"),
    chat: () => import("./de/chat.ts"),
    errors: () => import("./de/errors.ts"),
    proof: () => import("./de/proof.ts"),
    market: () => import("./de/market.ts"),
    account: () => import("./de/account.ts"),
    kept: () => import("./de/kept.ts"),
  },
};

class Words {
  #loaded: Partial<Catalogue> = $state.raw({});

  /** The words of an area. */
  of<A extends Area>(area: A): Catalogue[A] {
    const words = this.#loaded[area];
    if (words === undefined) throw new Error(`BUG: the words of ${area} were not asked for`);
    return words as Catalogue[A];
  }

  /** Loads areas; a page asks for those that it shows before it is drawn. */
  async need(...areas: Area[]): Promise<void> {
    const missing = areas.filter((area) => this.#loaded[area] === undefined);
    if (missing.length === 0) return;
    const more = await read(prefs.lang, missing);
    // Others may have loaded theirs meanwhile.
    this.#loaded = { ...this.#loaded, ...more };
  }

  /** Changes the language once all of its words that are needed now are there. `heard` says that another tab keeps the choice. */
  async use(lang: Lang, heard = false): Promise<void> {
    const loaded = await read(lang, Object.keys(this.#loaded) as Area[]);
    prefs.lang = lang;
    if (!heard) savePrefs();
    document.documentElement.lang = lang;
    this.#loaded = loaded;
  }
}

async function read(lang: Lang, areas: Area[]): Promise<Partial<Catalogue>> {
  const found = await Promise.all(areas.map(async (area) => [area, (await loaders[lang][area]()).default] as const));
  return Object.fromEntries(found) as Partial<Catalogue>;
}

const loaded = new Words();

/** `words.chat.send`, and how words are loaded. */
export const words = new Proxy(loaded, {
  get: (target, name) => (name === "need" || name === "use" ? target[name].bind(target) : target.of(name as Area)),
}) as unknown as Catalogue & Pick<Words, "need" | "use">;
