// A device whose clock is wrong, or that is given old certificates: to it these are the same.
import assert from "node:assert/strict";
import { SHORT, badge, few, lastReply, openChat, openReceipt, prefer, send } from "../chat.mjs";
import { scenario } from "../setup.mjs";
import { onQuery } from "../wire.mjs";

const MINUTES = 60_000;

/** Makes the page's clock one that a case can move. */
function movable(context) {
  return context.addInitScript(() => {
    const Real = Date;
    globalThis.clockShift = 0;
    globalThis.Date = class extends Real {
      constructor(...given) {
        if (given.length === 0) super(Real.now() + globalThis.clockShift);
        else super(...given);
      }
      static now() {
        return Real.now() + globalThis.clockShift;
      }
    };
  });
}

const shift = (page, ms) => page.evaluate((by) => (globalThis.clockShift = by), ms);

// The network refuses calls of such a device with this.
const REFUSED = /status of 400/;

scenario("a receipt that is too old for the device's clock is refused, with words about the clock", { exempt: REFUSED }, async ({ context, page, site }) => {
  await movable(context);
  await prefer(context, few(24));
  await onQuery(context, "receipt", async () => shift(page, 10 * MINUTES).then(() => undefined));
  await openChat(page, site);
  await send(page, SHORT);
  await badge(page, "refused");
  const dialog = await openReceipt(page);
  await dialog.getByText(/too old, or this device's clock is wrong|could not be fetched/).first().waitFor();
  assert.match(await dialog.getByRole("alert").innerText(), /clock|past/i);
});

scenario("a question from a device with a wrong clock fails with words about the clock", { exempt: REFUSED }, async ({ context, page, site }) => {
  await movable(context);
  await prefer(context, few(24));
  await openChat(page, site);
  await shift(page, -30 * MINUTES);
  await send(page, SHORT);
  await lastReply(page).getByRole("alert").getByText(/clock/i).first().waitFor({ timeout: 60_000 });
  assert.equal(await page.locator("[data-state=verified]").count(), 0);
});
