import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { follow, followTabs } from "../src/app/tabs.ts";
import { prefs, readPrefs } from "../src/lib/prefs.svelte.ts";

const page = { lang: "", dataset: {} as Record<string, string> };
let begun = 0;
const begin = (): void => void begun++;

beforeEach(() => {
  vi.stubGlobal("document", { documentElement: page });
  Object.assign(prefs, readPrefs(null), { lang: "en" });
  begun = 0;
});
afterEach(() => vi.unstubAllGlobals());

describe("a tab beside another", () => {
  it("begins with sealed copies when the other does, once, and ends with it", async () => {
    await follow('{"lang":"en","keep":"canister"}', begin);
    expect([prefs.keep, begun]).toEqual(["canister", 1]);
    await follow('{"lang":"en","keep":"canister","theme":"dark"}', begin);
    expect([prefs.keep, begun]).toEqual(["canister", 1]);
    await follow('{"lang":"en","keep":"none"}', begin);
    expect([prefs.keep, begun]).toEqual(["none", 1]);
  });

  it("follows look, language and how answers are drawn", async () => {
    await follow('{"theme":"dark","lang":"de","drawing":{"topK":7}}', begin);
    expect(prefs).toMatchObject({ theme: "dark", lang: "de", drawing: { topK: 7 } });
    expect([page.dataset["theme"], page.lang]).toEqual(["dark", "de"]);
  });

  it("asks as it did", async () => {
    prefs.place = "device";
    prefs.model = "mine";
    await follow('{"lang":"en","place":"network","model":"other","sidebar":false}', begin);
    expect(prefs).toMatchObject({ place: "device", model: "mine", sidebar: true });
  });

  it("is as new when everything was deleted, whatever stands there", async () => {
    prefs.keep = "canister";
    for (const text of [null, "", "null", "{"]) {
      prefs.keep = "canister";
      await follow(text, begin);
      expect([prefs.keep, begun]).toEqual(["device", 0]);
    }
  });

  it("hears what was chosen before it listened, and what is chosen then", () => {
    let heard: (event: { key: string | null }) => void = () => undefined;
    const kept = new Map([["assay", '{"lang":"en","keep":"canister"}']]);
    vi.stubGlobal("localStorage", { getItem: (key: string) => kept.get(key) ?? null });
    vi.stubGlobal("addEventListener", (_: string, listener: typeof heard) => (heard = listener));
    followTabs(begin);
    expect([prefs.keep, begun]).toEqual(["canister", 1]);
    kept.set("assay", '{"lang":"en","keep":"device"}');
    heard({ key: "another" });
    expect(prefs.keep).toBe("canister");
    heard({ key: "assay" });
    expect(prefs.keep).toBe("device");
    kept.set("assay", '{"lang":"en","keep":"none"}');
    heard({ key: null });
    expect([prefs.keep, begun]).toEqual(["none", 1]);
  });

  it("takes no word for where chats are kept that is none", () => {
    expect(readPrefs('{"keep":"canister"}').keep).toBe("canister");
    for (const keep of ['"cloud"', "7", "null"]) expect(readPrefs(`{"keep":${keep}}`).keep).toBe("device");
  });
});
