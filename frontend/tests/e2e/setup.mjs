// What all cases share: the network, the browser and the place to sign in. Started once, by whoever needs it first.
import test, { after } from "node:test";
import { openProfile, startBrowser } from "./browser.mjs";
import { startNetwork } from "./network.mjs";
import { startStub } from "./stub.mjs";

const CASE_MS_MAX = 120_000;
const open = [];
let shared;

function keep(thing, stop) {
  open.push(() => stop(thing));
  return thing;
}

async function start() {
  const stub = keep(await startStub(), (it) => it.stop());
  const network = keep(await startNetwork(stub.address), (it) => it.stop());
  const browser = keep(await startBrowser(), (it) => it.close());
  return { stub, network, browser };
}

after(async () => {
  for (const stop of open.reverse()) await stop().catch(() => undefined);
});

/**
 * One case, in a profile of its own. It fails, too, when a page of it complains; `exempt` says which complaints belong to the case,
 * as those of a lost network do where the case takes it away.
 */
export function scenario(name, { exempt, ms = CASE_MS_MAX, ...options }, run) {
  // The first case waits for the network, which takes longer than it.
  test(name, async (t) => {
    const { stub, network, browser } = await (shared ??= start());
    const profile = await openProfile(browser, network.site, options);
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${ms / 1_000} s`)), ms)));
    try {
      await Promise.race([run({ ...profile, stub, up: network.up, cli: network.cli, browser, t }), late]);
      const complaints = profile.heard.filter((text) => !exempt?.test(text));
      if (complaints.length > 0) throw new Error(`the page complained:\n${complaints.join("\n")}`);
    } catch (error) {
      const folder = process.env.ASSAY_SHOTS_DIR;
      if (folder) await profile.page.screenshot({ path: `${folder}/${name.replace(/\W+/g, "-")}.png` }).catch(() => undefined);
      throw error;
    } finally {
      clearTimeout(timer);
      await profile.context.close();
    }
  });
}
