// What needs the network: who we are, what can be asked for, sealed copies of chats, and answers that were under way when the page
// was left.
import { resumeAll } from "../lib/chat/answers.svelte.ts";
import { me } from "../lib/ic/connection.ts";
import { restoreLogin } from "../lib/ic/restore.ts";
import { offers } from "../lib/market/offers.svelte.ts";
import { money } from "../lib/market/money.svelte.ts";
import { prefs } from "../lib/prefs.svelte.ts";
import { followTabs } from "./tabs.ts";

export async function late(stored: Promise<void>): Promise<void> {
  const known = restoreLogin().catch(() => undefined).then(() => Promise.all([stored, me()]));
  const copy = (): void => void known.then(() => import("../lib/kept/kept.svelte.ts")).then(({ kept }) => kept.start(), () => undefined);
  followTabs(copy);
  await known;
  if (prefs.keep === "canister") copy();
  await Promise.all([offers.load(), money.load(), resumeAll()]);
}
