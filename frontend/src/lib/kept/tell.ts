// What there is to say about sealed copies, in passing; the settings page says it itself.
import { words } from "../i18n/index.svelte.ts";
import type { Catalogue } from "../i18n/types.ts";
import { links, router } from "../router.svelte.ts";
import { toast } from "../toasts.svelte.ts";

interface Options {
  /** Said once in a visit under this name, with a way to the settings. */
  once?: string;
  /** A way to try again. */
  retry?: () => void;
}

const told = new Set<string>();

export function tell(text: (m: Catalogue["kept"]) => string, { once, retry }: Options = {}): void {
  if (once !== undefined && told.has(once)) return;
  if (once !== undefined) told.add(once);
  const show = (): void => {
    if (once === undefined && retry === undefined) return toast(text(words.kept));
    if (router.route.page === "settings") return;
    const settings = { label: words.shell.pages.settings, run: () => router.go(links.to("settings")) };
    toast(text(words.kept), { ms: 12_000, action: retry === undefined ? settings : { label: words.shell.retry, run: retry } });
  };
  // Without a network the words may be out of reach; then the settings page says it later.
  void words.need("shell", "kept").then(show, () => undefined);
}
