// Everything without a pointer.
import assert from "node:assert/strict";
import { SHORT, badge, few, openChat, prefer } from "../chat.mjs";
import { scenario } from "../setup.mjs";

const focused = (page) => page.evaluate(() => {
  const node = document.activeElement;
  return node?.getAttribute("aria-label") || node?.getAttribute("title") || node?.id || node?.textContent || "";
});

/** Goes on with Tab until what has the focus fits. */
async function tabTo(page, wanted, key = "Tab") {
  for (let steps = 0; steps < 60; steps++) {
    const name = await focused(page);
    if (wanted.test(name)) return name;
    await page.keyboard.press(key);
  }
  throw new Error(`no way to ${wanted} with ${key}`);
}

scenario("a reader without a pointer asks, reads the receipt, starts a new chat and finds the old one", {}, async ({ context, page, site }) => {
  await prefer(context, few(24));
  await openChat(page, site);
  // The box has the focus at first. Whoever comes from the top of the page can skip to the content.
  await tabTo(page, /Skip/, "Shift+Tab");
  await page.keyboard.press("Enter");
  assert.equal(await focused(page), "main");
  await tabTo(page, /^composer$/);
  await page.keyboard.type(SHORT);
  await page.keyboard.press("Enter");
  await badge(page, "verified");

  await tabTo(page, /^Receipt: Verified/, "Shift+Tab");
  assert.ok(await page.evaluate(() => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(document.activeElement);
    return (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none";
  }), "what has the focus can be seen");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  for (let steps = 0; steps < 40; steps++) {
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement === document.body || document.querySelector("dialog").contains(document.activeElement)), "the focus left the dialog");
  }
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.match(await focused(page), /^Receipt/, "the focus is back where it was");

  await page.keyboard.press("Control+Shift+O");
  await page.getByText("Answers you can check").waitFor();
  await page.keyboard.press("Control+k");
  await page.getByRole("searchbox").waitFor();
  await page.keyboard.type("capital");
  await page.getByText("1 chat found").waitFor({ state: "attached" });
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.locator("article.question", { hasText: SHORT }).waitFor();
  await page.keyboard.press("Control+/");
  await page.getByRole("dialog").getByText("Keyboard shortcuts").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

scenario("a reader without a pointer turns sealed copies on, sees the key, enters one, and turns them off", {}, async ({ page, site }) => {
  await page.goto(`${site}/#/settings`);
  await page.getByRole("heading", { name: "Settings" }).waitFor();
  await tabTo(page, /^keep-device$/);
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(page), "keep-canister");
  await page.getByText("No chat is kept there yet.").waitFor();
  const dialog = page.getByRole("dialog");

  await tabTo(page, /^Save the key$/);
  await page.keyboard.press("Enter");
  await dialog.getByText(/^assay-chat-key-1:/).waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.equal(await focused(page), "Save the key", "the focus is back where it was");

  await tabTo(page, /^Enter a key$/);
  await page.keyboard.press("Enter");
  await tabTo(page, /^chat-key$/);
  await page.keyboard.type("no key");
  await page.keyboard.press("Enter");
  await dialog.getByText(/^This is not a key/).waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  await tabTo(page, /^keep-canister$/, "Shift+Tab");
  await page.keyboard.press("ArrowUp");
  await dialog.getByText("No more copies in the canister").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.ok(await page.locator("#keep-canister").isChecked(), "a dialog that is closed changes nothing");
  await tabTo(page, /^keep-canister$/);
  await page.keyboard.press("ArrowUp");
  await dialog.waitFor();
  await tabTo(page, /^Leave them there$/);
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  assert.ok(await page.locator("#keep-device").isChecked());
});
