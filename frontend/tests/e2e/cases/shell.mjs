// The page as a program: without a network, and more than once.
import assert from "node:assert/strict";
import { SHORT, askVerified, badge, few, lastReply, ownJobs, prefer, send, textOf } from "../chat.mjs";
import { scenario } from "../setup.mjs";

const LOST = /ERR_INTERNET_DISCONNECTED|ERR_FAILED|Failed to fetch|Failed to load resource/;

scenario("without a network the page opens, shows the chats, and says that it is offline", { exempt: LOST, serviceWorker: true }, async ({ context, page, site }) => {
  await prefer(context, few(24));
  const answer = await askVerified(page, site);
  await page.evaluate(async () => {
    await navigator.serviceWorker.ready;
    for (let tries = 0; navigator.serviceWorker.controller === null && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 50));
  });
  await context.setOffline(true);
  await page.reload();
  await page.getByText("You are offline.", { exact: false }).waitFor();
  assert.equal(await textOf(page), answer);
  await badge(page, "verified");
  await page.getByRole("link", { name: SHORT }).waitFor();
  await page.goto(`${site}/#/settings`);
  await page.getByRole("heading", { name: "Settings" }).waitFor();
  await context.setOffline(false);
  await page.getByText("You are offline.", { exact: false }).waitFor({ state: "detached" });
});

scenario("two tabs show the same chats, and one answer is made once", { serviceWorker: true }, async ({ context, page, site }) => {
  await prefer(context, few(96));
  const answer = await askVerified(page, site);
  const other = await context.newPage();
  await other.goto(page.url());
  await lastReply(other).waitFor();
  assert.equal(await textOf(other), answer);

  await send(page, "And of Italy?");
  await other.locator("article.question", { hasText: "And of Italy?" }).waitFor();
  await Promise.all([badge(page, "verified"), badge(other, "verified")]);
  assert.equal(await other.locator("article.reply").count(), 2);
  assert.equal(await textOf(other), await textOf(page));
  await ownJobs(other, site, 2);
});
