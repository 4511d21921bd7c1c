// What people do in a chat, in words of the page.

export const START = "Ask a question";
export const LONG = "Tell me a long story about a river, a mill and a fox.";
export const SHORT = "What is the capital of France?";

export async function openChat(page, site) {
  await page.goto(`${site}/#/`);
  await page.getByText(/is ready, from \d+ providers?\./).waitFor();
}

export async function send(page, text) {
  await page.getByLabel(START).fill(text);
  await page.keyboard.press("Enter");
}

export const lastReply = (page) => page.locator("article.reply").last();
export const textOf = (page) => lastReply(page).locator(".md").innerText();
export const isBusy = async (page) => (await lastReply(page).getAttribute("aria-busy")) === "true";

/** Waits for a badge of one of these states on the last answer, and says which. */
export async function badge(page, ...states) {
  const found = lastReply(page).locator(states.map((state) => `[data-state=${state}]`).join(","));
  await found.waitFor({ timeout: 60_000 });
  return found.getAttribute("data-state");
}

/** Asks in a fresh profile and waits until the answer is verified. */
export async function askVerified(page, site, text = SHORT) {
  await openChat(page, site);
  await send(page, text);
  await badge(page, "verified");
  return textOf(page);
}

/** Waits until some text of the answer is on the page and more is to come. */
export async function streaming(page, least = 20) {
  await page.waitForFunction(
    (chars) => {
      const reply = [...document.querySelectorAll("article.reply")].at(-1);
      return reply?.getAttribute("aria-busy") === "true" && (reply.querySelector(".md")?.textContent ?? "").length >= chars;
    },
    least,
    { polling: 20, timeout: 30_000 },
  );
}

export async function openReceipt(page) {
  await page.getByRole("button", { name: /^Receipt/ }).last().click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  return dialog;
}

/** The value beside a name in a list of facts. */
export const fact = (place, name) => place.locator("dt", { hasText: new RegExp(`^${name}$`) }).locator("xpath=following-sibling::dd[1]").first();

/** Goes to the list of this reader's own jobs, and waits until there are so many. */
export async function ownJobs(page, site, count) {
  await page.goto(`${site}/#/jobs`);
  await page.getByLabel("Only mine").check();
  await page.waitForFunction((wanted) => document.querySelectorAll("main table.data tbody tr").length === wanted, count);
}

/** Fewer tokens than the app's default keep a case short. Set before the page is opened. */
export function prefer(context, change) {
  return context.addInitScript((wanted) => {
    if (location.protocol === "http:" && localStorage.getItem("assay") === null) localStorage.setItem("assay", JSON.stringify(wanted));
  }, change);
}

const DRAWING = { temperatureMilli: 0, topPPpm: 1_000_000, topK: 0, maxTokens: 256, seed: "", system: "" };
/** Choices with which an answer has at most so many tokens. */
export const few = (maxTokens) => ({ drawing: { ...DRAWING, maxTokens } });
