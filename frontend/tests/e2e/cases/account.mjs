// Who the reader is to the market.
import assert from "node:assert/strict";
import { SHORT, badge, fact, few, openChat, ownJobs, prefer, send } from "../chat.mjs";
import { scenario } from "../setup.mjs";

const PRINCIPAL = /[a-z0-9]{5}(-[a-z0-9]{3,5})+/;

async function principalOf(page, site) {
  await page.goto(`${site}/#/account`);
  const shown = fact(page.locator("main"), "Principal");
  await shown.filter({ hasText: PRINCIPAL }).waitFor();
  return (await shown.innerText()).match(PRINCIPAL)[0];
}

scenario("a guest is the same guest after a reload, with a key that nobody can read", {}, async ({ page, site }) => {
  const first = await principalOf(page, site);
  await page.reload();
  assert.equal(await principalOf(page, site), first);
  const readable = await page.evaluate(async () => {
    const db = await new Promise((resolve) => (indexedDB.open("assay").onsuccess = ({ target }) => resolve(target.result)));
    const pair = await new Promise((resolve) => (db.transaction("keys").objectStore("keys").get("guest").onsuccess = ({ target }) => resolve(target.result)));
    return crypto.subtle.exportKey("pkcs8", pair.privateKey).then(() => true, () => false);
  });
  assert.equal(readable, false);
});

scenario("a reader signs in with Internet Identity, asks as that account, and signs out again", {}, async ({ context, page, site, stub }) => {
  await prefer(context, few(24));
  const guest = await principalOf(page, site);
  await page.getByRole("button", { name: "Sign in with Internet Identity" }).click();
  await page.getByRole("heading", { name: "Signed in with Internet Identity" }).waitFor();
  assert.equal(await principalOf(page, site), stub.principal);

  await page.reload();
  await page.getByRole("heading", { name: "Signed in with Internet Identity" }).waitFor();
  await openChat(page, site);
  await send(page, SHORT);
  await badge(page, "verified");
  await ownJobs(page, site, 1);
  assert.match(await page.locator("main table.data tbody tr").innerText(), new RegExp(stub.principal.slice(0, 5)));

  await page.goto(`${site}/#/account`);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Guest", exact: true }).waitFor();
  assert.equal(await principalOf(page, site), guest);
});
