// What a badge rests on, and what happens when that is changed.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { askVerified, badge, fact, few, lastReply, openChat, openReceipt, prefer, send, SHORT } from "../chat.mjs";
import { scenario } from "../setup.mjs";
import { alter, onQuery } from "../wire.mjs";

const QUICK = few(24);

async function savedReceipt(page) {
  const dialog = await openReceipt(page);
  const [download] = await Promise.all([page.waitForEvent("download"), dialog.getByRole("button", { name: "Save the receipt" }).click()]);
  return JSON.parse(readFileSync(await download.path(), "utf8"));
}

async function give(page, site, file) {
  await page.goto(`${site}/#/verify`);
  await page.reload();
  const buffer = Buffer.from(typeof file === "string" ? file : JSON.stringify(file));
  await page.locator("input[type=file]").setInputFiles({ name: "receipt.json", mimeType: "application/json", buffer });
}

scenario("the receipt of a verified answer tells which checks its certificate passed", {}, async ({ context, page, site, up }) => {
  await prefer(context, QUICK);
  await askVerified(page, site);
  const dialog = await openReceipt(page);
  await dialog.getByText("8 / 8").click();
  for (const line of [/root key vouches for the subnet/, /hosts this canister/, /certificate is fresh/, /covered by the certified hash/, /answer shown is the certified one/]) {
    await dialog.getByText(line).waitFor();
  }
  assert.match(await fact(dialog, "Canister").innerText(), new RegExp(up.jobs));
  assert.match(await fact(dialog, "Verdict").innerText(), /^Verified/);
  const marks = await dialog.locator("table .mark").allInnerTexts();
  assert.deepEqual(marks, ["A", "A"], "generator and checker found the same");
});

scenario("a saved receipt holds on the page that checks receipts, without the network", { exempt: /ERR_INTERNET_DISCONNECTED|ERR_FAILED|Failed to fetch/ }, async ({ context, page, site }) => {
  await prefer(context, QUICK);
  await askVerified(page, site);
  const file = await savedReceipt(page);
  await page.goto(`${site}/#/verify`);
  await page.getByRole("heading", { name: "Check a receipt" }).waitFor();
  await context.setOffline(true);
  await page.locator("input[type=file]").setInputFiles({ name: "r.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(file)) });
  await page.getByRole("heading", { name: "This receipt holds" }).waitFor();
  await page.locator("main").getByText(SHORT).waitFor();
});

scenario("a receipt file is refused when any of its values is changed", {}, async ({ context, page, site }) => {
  await prefer(context, QUICK);
  await askVerified(page, site);
  const root = (await fact(await openReceipt(page), "Result root").innerText()).match(/[0-9a-f]{64}/)[0];
  await page.keyboard.press("Escape");
  const file = await savedReceipt(page);
  const hex = file.certified_receipt;
  const flip = (place) => hex.slice(0, place) + (hex[place] === "0" ? "1" : "0") + hex.slice(place + 1);
  const places = { question: hex.indexOf(Buffer.from(SHORT).toString("hex")) + 1, root: hex.indexOf(root), salt: hex.length - 1 };
  // Behind the first value there are only values; all of them are covered.
  const values = Math.min(places.question, places.root);
  for (let part = 1; part < 6; part++) places[`place ${part}`] = values + Math.floor(((hex.length - values) * part) / 6);
  for (const [what, place] of Object.entries(places)) {
    assert.ok(place > 0, `the ${what} lies in the file`);
    await give(page, site, { ...file, certified_receipt: flip(place) });
    await page.getByText(/^This receipt (holds|does not hold)$/).waitFor();
    assert.equal(await page.getByText("This receipt does not hold").count(), 1, `with another ${what} it holds`);
    if (what === "question") await page.getByText("The question was changed").waitFor();
    if (what === "root") await page.getByText("A field of the receipt was changed").waitFor();
  }
  await give(page, site, { ...file, root_key: file.root_key.replace(/..$/, (end) => (end === "00" ? "01" : "00")) });
  await page.getByText(/does not hold|another root key/).first().waitFor();
  await give(page, site, "no receipt at all");
  await page.getByText("This is not a receipt file").waitFor();
});

scenario("an answer that was altered on the wire gets no verified badge", {}, async ({ context, page, site }) => {
  await prefer(context, QUICK);
  let altered = 0;
  await onQuery(context, "job", (bytes) => {
    const { changed, found } = alter(bytes, "Paris");
    altered += found;
    return changed;
  });
  await openChat(page, site);
  await send(page, SHORT);
  await lastReply(page).getByRole("alert").waitFor({ timeout: 60_000 });
  assert.ok(altered > 0, "nothing was altered");
  assert.equal(await page.locator("[data-state=verified]").count(), 0);
  assert.match(await lastReply(page).getByRole("alert").innerText(), /did not carry a valid signature/);
});

scenario("a receipt that was altered on the wire is refused, and checked again when asked", {}, async ({ context, page, site }) => {
  await prefer(context, QUICK);
  let tamper = true;
  await onQuery(context, "receipt", (bytes) => {
    const changed = Buffer.from(bytes);
    if (tamper) changed[Math.floor(changed.length / 2)] ^= 0x01;
    return changed;
  });
  await openChat(page, site);
  await send(page, SHORT);
  await badge(page, "refused");
  await lastReply(page).getByText("Receipt refused").waitFor();
  const dialog = await openReceipt(page);
  await dialog.getByRole("alert").waitFor();
  tamper = false;
  await dialog.getByRole("button", { name: "Check again" }).click();
  await badge(page, "verified");
});
