// Who the reader is to the market.
import assert from "node:assert/strict";
import { examine } from "../axe.mjs";
import { SHORT, badge, fact, few, openChat, ownJobs, prefer, send } from "../chat.mjs";
import { principalOf, signIn } from "../person.mjs";
import { scenario } from "../setup.mjs";

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
  await signIn(page, site);
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

scenario("whoever signs in can move the cycles of this browser's guest to the account", {}, async ({ page, site, stub, cli }) => {
  const freeOf = async (account) => BigInt(JSON.parse(await cli("money", "holdings", "--of", account, "--json")).balance);
  const guest = await principalOf(page, site);
  await cli("money", "give", "250_000_000", "--to", guest);
  await page.reload();
  await fact(page.locator("main"), "Free").getByText("250 M cycles").waitFor();
  const before = await freeOf(stub.principal);

  await signIn(page, site);
  const offer = page.getByRole("region", { name: "This browser's guest has cycles" });
  await offer.getByText("250 M cycles").waitFor();
  assert.deepEqual(await examine(page, "a guest's cycles"), []);
  await offer.getByRole("button", { name: "Move all of it here" }).click();
  await page.getByText("Moved to your account").waitFor();
  await offer.waitFor({ state: "detached" });
  assert.equal(await freeOf(stub.principal), before + 250_000_000n);
  assert.equal(await freeOf(guest), 0n);
  await page.reload();
  await page.getByRole("heading", { name: "Signed in with Internet Identity" }).waitFor();
  await page.getByText("left for you today").waitFor();
  assert.equal(await offer.count(), 0);
});

scenario("cycles come in from the market's ledger and go out again", {}, async ({ page, site, cli }) => {
  const guest = await principalOf(page, site);
  await cli("money", "deposit", "3T");
  await cli("money", "withdraw", "2T", "--to", guest);
  await page.reload();
  const main = page.locator("main");
  await fact(main, "Yours on the ledger").getByText("2 T cycles").waitFor();

  const amount = main.getByLabel("Amount in cycles");
  const moves = main.locator("table.data tbody tr");
  await amount.fill("5T");
  await main.getByRole("button", { name: "Deposit" }).click();
  await moves.filter({ hasText: /Deposit.*failed/s }).waitFor();
  await amount.fill("1.5 T");
  await main.getByRole("button", { name: "Deposit" }).click();
  await fact(main, "Free").getByText("1.5 T cycles").waitFor();
  await moves.filter({ hasText: /Deposit.*done/s }).waitFor();

  await amount.fill("500G");
  await main.getByLabel("Withdraw to").fill(guest);
  await main.getByRole("button", { name: "Withdraw" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Withdraw" }).click();
  await fact(main, "Free").getByText("999.9 G cycles").waitFor();
  await moves.filter({ hasText: /Withdrawal.*done/s }).waitFor();
  assert.deepEqual(await examine(page, "deposits and withdrawals"), []);
  const held = JSON.parse(await cli("money", "holdings", "--of", guest, "--json"));
  // The ledger takes its fee for each of two approvals, and for the deposit that came in.
  assert.equal(BigInt(held.ledger.balance), 1_000_000_000_000n - 3n * BigInt(held.ledger.fee));
});
