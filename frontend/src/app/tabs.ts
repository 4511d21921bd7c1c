// Other tabs choose, too. This one follows in what holds for the whole browser, so that it undoes nothing of that: look, language, how
// answers are drawn, and where chats are kept. What a question is asked with stays each tab's own.
import { words } from "../lib/i18n/index.svelte.ts";
import { KEY, prefs, readPrefs, stored } from "../lib/prefs.svelte.ts";
import { applyTheme } from "../lib/theme.svelte.ts";

/** `begin` is called when sealed copies are wanted from now on. */
export function followTabs(begin: () => void): void {
  addEventListener("storage", ({ key }) => {
    // Without a key everything was cleared.
    if (key === KEY || key === null) void follow(stored(), begin);
  });
  // What was chosen before this tab listened.
  void follow(stored(), begin);
}

/** What stands there counts, not what an event says: of two tabs that choose at once, both end with the same. */
export async function follow(text: string | null, begin: () => void): Promise<void> {
  const { theme, lang, drawing, keep } = readPrefs(text);
  const begins = keep === "canister" && prefs.keep !== keep;
  Object.assign(prefs, { theme, drawing, keep });
  applyTheme();
  if (begins) begin();
  // Words that cannot be loaded now leave the language as it is.
  if (lang !== prefs.lang) await words.use(lang, true).catch(() => undefined);
}
