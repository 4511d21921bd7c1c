// Takes away everything that this page ever kept in this browser: chats, receipts, keys, weights, choices, and the files for offline use.
// Where sealed copies are on, those of the account that acts and of the guest go, too, if the page's canister can be reached.
import { chats } from "../../lib/chat/chats.svelte.ts";
import { DROP_MS_MAX } from "../../lib/limits.ts";
import { prefs, resetPrefs, savePrefs } from "../../lib/prefs.svelte.ts";
import { eraseAll } from "../../lib/store/db.ts";

export async function eraseEverything(): Promise<void> {
  await dropCopies().catch(() => undefined);
  chats.forget();
  await eraseAll();
  resetPrefs();
  localStorage.clear();
  const root = await navigator.storage.getDirectory().catch(() => undefined);
  await root?.removeEntry("models", { recursive: true }).catch(() => undefined);
  for (const name of await caches.keys().catch(() => [])) await caches.delete(name);
  // The sign-in of Internet Identity lies in a database of its own.
  for (const { name } of await indexedDB.databases().catch(() => [])) if (name?.startsWith("auth-client")) indexedDB.deleteDatabase(name);
}

async function dropCopies(): Promise<void> {
  if (prefs.keep !== "canister") return;
  const { kept } = await import("../../lib/kept/kept.svelte.ts");
  // Off first, in all tabs, so that nothing follows what is dropped.
  prefs.keep = "device";
  savePrefs();
  await Promise.race([kept.dropAll(), new Promise((resolve) => setTimeout(resolve, DROP_MS_MAX))]);
}
