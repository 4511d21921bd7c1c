// Takes away everything that this page ever kept in this browser: chats, receipts, keys, weights, choices, and the files for offline use.
import { chats } from "../../lib/chat/chats.svelte.ts";
import { resetPrefs } from "../../lib/prefs.svelte.ts";
import { eraseAll } from "../../lib/store/db.ts";

export async function eraseEverything(): Promise<void> {
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
