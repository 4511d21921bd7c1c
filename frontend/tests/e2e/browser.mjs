// One browser for all cases, and a fresh profile for each. What a page complains about fails its case.
import { chromium } from "playwright-core";

const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const WAIT_MS = 20_000;

export function startBrowser() {
  return chromium.launch({ executablePath: process.env.ASSAY_CHROMIUM ?? "/usr/bin/chromium", args: ARGS });
}

/**
 * A profile of its own. The service worker fetches every file of the app for a visit without a network, which is for the cases
 * that are about it. `heard` are the complaints of all of its pages.
 */
export async function openProfile(browser, site, { serviceWorker = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-US", ...options });
  context.setDefaultTimeout(WAIT_MS);
  if (!serviceWorker) {
    await context.addInitScript(() => {
      if (navigator.serviceWorker !== undefined) navigator.serviceWorker.register = () => Promise.reject(new Error("not in this case"));
    });
  }
  const heard = [];
  context.on("console", (message) => {
    if (message.type() === "error") heard.push(`console: ${message.text().slice(0, 400)}`);
  });
  context.on("weberror", (error) => heard.push(`exception: ${error.error().message.slice(0, 400)}`));
  context.on("dialog", (dialog) => {
    heard.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  const page = await context.newPage();
  return { context, page, heard, site };
}
