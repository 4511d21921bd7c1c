// Sealed copies in the page's canister, in words of the settings page.

export const choice = (page, keep) => page.locator(`input[name=keep][value=${keep}]`);

/** Turns sealed copies on, and waits for what the page says then. */
export async function keepSealed(page, site, said) {
  await page.goto(`${site}/#/settings`);
  await choice(page, "canister").check();
  await page.locator("main").getByText(said).first().waitFor();
}

/** The key as the page shows it. */
export async function keyOf(page) {
  await page.getByRole("button", { name: "Save the key" }).click();
  const text = await page.getByRole("dialog").locator(".key").innerText();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  return text.trim();
}

/** Enters a key; `said` is what the page answers where it does not take it. */
export async function enterKey(page, text, said) {
  await page.getByRole("button", { name: "Enter a key" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Key").fill(text);
  await dialog.getByRole("button", { name: "Use this key" }).click();
  if (said !== undefined) {
    await dialog.getByText(said).waitFor();
    await page.keyboard.press("Escape");
  }
  await dialog.waitFor({ state: "detached" });
}

export const compare = (page) => page.getByRole("button", { name: "Compare now" }).click();
