// Who the reader is to the market, and the account page.
import { fact } from "./chat.mjs";

const PRINCIPAL = /[a-z0-9]{5}(-[a-z0-9]{3,5})+/;

export async function principalOf(page, site) {
  await page.goto(`${site}/#/account`);
  const shown = fact(page.locator("main"), "Principal");
  await shown.filter({ hasText: PRINCIPAL }).waitFor();
  return (await shown.innerText()).match(PRINCIPAL)[0];
}

export async function signIn(page, site) {
  await page.goto(`${site}/#/account`);
  await page.getByRole("button", { name: "Sign in with Internet Identity" }).click();
  await page.getByRole("heading", { name: "Signed in with Internet Identity" }).waitFor();
}
