// The same model on the reader's own device.
import assert from "node:assert/strict";
import { askVerified, badge, fact, few, lastReply, openReceipt, prefer, textOf } from "../chat.mjs";
import { scenario } from "../setup.mjs";

const LOAD_MS_MAX = 90_000;

scenario("this device runs the model again, and gives the network's bytes and result root", {}, async ({ context, page, site }) => {
  await prefer(context, few(24));
  const asked = await askVerified(page, site);
  const dialog = await openReceipt(page);
  const root = (await fact(dialog, "Result root").innerText()).match(/[0-9a-f]{64}/)?.[0];
  assert.ok(root, "the receipt shows the result root");

  // The weights come from this page's own server; the engine checks each byte of them against the model's root.
  await dialog.getByRole("button", { name: /^Download, 139 MB/ }).click();
  await dialog.getByRole("button", { name: "Run it again on this device" }).click({ timeout: LOAD_MS_MAX });
  await dialog.getByText(/The same tokens, the same trace, the same root/).waitFor({ timeout: LOAD_MS_MAX });
  await page.keyboard.press("Escape");
  assert.equal(await badge(page, "reverified"), "reverified");

  await lastReply(page).getByRole("button", { name: "More for this answer" }).click();
  await page.getByRole("button", { name: "Ask this device the same" }).click();
  await badge(page, "device");
  assert.equal(await textOf(page), asked);
  const here = await openReceipt(page);
  await here.getByText("The same result root as alternative 1: equal to the last byte.").waitFor();
  assert.ok((await fact(here, "Result root").innerText()).includes(root));
});
