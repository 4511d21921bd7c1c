// The pages around the chat.
import assert from "node:assert/strict";
import { examine } from "../axe.mjs";
import { askVerified, badge, few, openChat, openReceipt, prefer, send, SHORT } from "../chat.mjs";
import { choice, keepSealed } from "../kept.mjs";
import { scenario } from "../setup.mjs";

/** What a page must say before it counts as loaded. */
const PAGES = {
  network: [/Verified answers/, /Amber|Birch|Cedar/],
  jobs: [/Job \d+|\d+/],
  models: [/smollm2-135m-instruct/, /On this device|about/],
  hardware: [/Wormhole/, /price: not published where we looked/i],
  verify: [/Drop a receipt file/],
  provide: [/Register as a provider/],
  account: [/Principal/, /left for you today/],
  settings: [/Temperature/, /Export everything/],
  about: [/Workers that hold the job/],
  nowhere: [/There is no such page/],
};

async function visit(page, site, hash, said) {
  await page.goto(`${site}/#/${hash}`);
  for (const text of said) await page.locator("main").getByText(text).first().waitFor();
  assert.equal(await page.locator("main .failure").count(), 0, `${hash} shows a failure`);
}

scenario("the job page shows each worker's result, and that all found the same", {}, async ({ context, page, site }) => {
  await prefer(context, { ...few(24), sureness: { kind: "equality", total: 3 } });
  await openChat(page, site);
  await send(page, SHORT);
  await badge(page, "verified");
  const dialog = await openReceipt(page);
  await dialog.getByRole("link", { name: "The job in the market" }).click();
  await page.getByRole("heading", { name: /^Job \d+/ }).waitFor();
  await page.locator(".matrix .mark").nth(2).waitFor();
  assert.deepEqual(await page.locator(".matrix .mark").allInnerTexts(), ["A", "A", "A"]);
  const workers = await page.locator(".matrix a").allInnerTexts();
  assert.equal(new Set(workers).size, 3, "three different workers");
  await page.locator("main").getByText("Results agree").waitFor();
  await page.locator("main").getByText(/Paris/).waitFor();
});

scenario("every page loads, and says what it is there for", {}, async ({ page, site }) => {
  for (const [hash, said] of Object.entries(PAGES)) await visit(page, site, hash, said);
  await page.goto(`${site}/#/models`);
  await page.locator("main a[href^='#/model/']").first().click();
  await page.locator("main").getByText("Root of the weights").waitFor();
  await page.goto(`${site}/#/network`);
  await page.locator("main a[href^='#/worker/']").first().click();
  await page.locator("main").getByText("Why it has work, or none").waitFor();
});

scenario("the hardware page says where numbers come from, and who measured the rest", {}, async ({ page, site }) => {
  await visit(page, site, "hardware", PAGES.hardware);
  const main = page.locator("main");
  assert.ok((await main.getByRole("link", { name: /^Source/ }).count()) >= 3);
  await main.getByText(/added up from its parts/i).first().waitFor();
  await main.getByText(/reported by workers themselves, nobody else has measured it/i).first().waitFor();
});

scenario("an accessibility checker finds nothing on any page, in both themes, narrow and wide", { ms: 300_000 }, async ({ context, page, site }) => {
  await prefer(context, few(24));
  const problems = [];
  const look = async (name) => problems.push(...(await examine(page, name)));
  await openChat(page, site);
  await look("start");
  await askVerified(page, site);
  await look("chat");
  await openReceipt(page);
  await look("receipt");
  const job = await page.locator("dialog a[href^='#/job/']").first().getAttribute("href");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+k");
  await page.getByRole("searchbox").waitFor();
  await look("search");
  await page.keyboard.press("Escape");
  for (const [hash, said] of Object.entries(PAGES)) {
    await visit(page, site, hash, said);
    await look(hash);
  }
  await keepSealed(page, site, /chat is kept there/);
  await look("sealed copies");
  for (const name of ["Save the key", "Enter a key"]) {
    await page.getByRole("button", { name }).click();
    await page.getByRole("dialog").waitFor();
    await look(name);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  }
  await choice(page, "device").check();
  await page.getByRole("dialog").waitFor();
  await look("no more copies");
  await page.getByRole("button", { name: "Leave them there" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.goto(`${site}/${job}`);
  await page.locator(".matrix .mark").first().waitFor();
  await look("job");
  await page.goto(`${site}/#/network`);
  const worker = page.locator("main a[href^='#/worker/']").first();
  await worker.click();
  await page.getByText("Why it has work, or none").waitFor();
  await look("worker");
  await page.goto(`${site}/#/models`);
  await page.locator("main a[href^='#/model/']").first().click();
  await page.getByText("Root of the weights").waitFor();
  await look("model");
  assert.deepEqual(problems, []);
});
