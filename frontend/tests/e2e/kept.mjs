// Sealed copies in the page's canister, in words of the settings page and as bytes on the wire.
import { inflateRawSync } from "node:zlib";

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

/** Bytes of a header of gzip that names no file. */
const HEADER_BYTES = 10;

/** Everything in these bytes that is packed with gzip, wherever it begins and whatever follows. */
export function unpacked(bytes) {
  const found = [];
  const begin = Buffer.of(0x1f, 0x8b, 0x08, 0x00);
  for (let at = bytes.indexOf(begin); at >= 0; at = bytes.indexOf(begin, at + 1)) {
    try {
      const text = inflateRawSync(bytes.subarray(at + HEADER_BYTES));
      if (text.length > 0) found.push(text);
    } catch {
      // It only looked like a beginning.
    }
  }
  return found;
}
