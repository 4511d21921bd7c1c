// Which page needs which file and which words.
import type { Component } from "svelte";
import { words, type Area } from "../lib/i18n/index.svelte.ts";
import type { Page, Route } from "../lib/router.svelte.ts";

export type Shown = Component<{ route: Route }>;
type Loader = [load: () => Promise<{ default: Component<never> }>, ...areas: Area[]];

const PAGES: Record<Page, Loader> = {
  chat: [() => import("../routes/chat/Chat.svelte"), "chat"],
  network: [() => import("../routes/network/Network.svelte"), "market", "errors", "proof"],
  jobs: [() => import("../routes/network/Jobs.svelte"), "market", "errors", "proof"],
  job: [() => import("../routes/job/Job.svelte"), "market", "chat", "errors", "proof"],
  models: [() => import("../routes/models/Models.svelte"), "market", "chat", "errors"],
  model: [() => import("../routes/models/Model.svelte"), "market", "chat", "errors"],
  worker: [() => import("../routes/worker/Worker.svelte"), "market", "errors"],
  hardware: [() => import("../routes/hardware/Hardware.svelte"), "market", "errors"],
  provide: [() => import("../routes/provide/Provide.svelte"), "account", "market", "errors"],
  verify: [() => import("../routes/verify/Verify.svelte"), "proof", "chat", "errors", "market"],
  account: [() => import("../routes/account/Account.svelte"), "account", "errors"],
  settings: [() => import("../routes/settings/Settings.svelte"), "account", "kept", "errors"],
  about: [() => import("../routes/about/About.svelte"), "account"],
  unknown: [() => import("../routes/Unknown.svelte")],
};

const loaded = new Map<Page, Shown>();

/** The page's component, once it and its words are there. */
export async function load(page: Page): Promise<Shown> {
  const known = loaded.get(page);
  const [file, ...areas] = PAGES[page];
  await words.need("shell", ...areas);
  if (known !== undefined) return known;
  const component = (await file()).default as unknown as Shown;
  loaded.set(page, component);
  return component;
}
