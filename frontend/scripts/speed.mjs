// How fast the engine runs a model in this browser: downloads the weights from a running site, and asks this device.
//
//   npm run speed -- http://<canister>.localhost:4943
//
// Beside it, on the same machine: assay engine bench --model FILE --threads 1
import { chromium } from "playwright-core";

const [address] = process.argv.slice(2);
if (!address) throw new Error("usage: npm run speed -- URL");
const site = address.replace(/\/$/, "");
const TOKENS = 256;
const RUNS = 3;
const drawing = { temperatureMilli: 0, topPPpm: 1_000_000, topK: 0, maxTokens: TOKENS, seed: "1", system: "" };

const browser = await chromium.launch({ executablePath: process.env.ASSAY_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--no-first-run"] });
const page = await (await browser.newContext({ locale: "en-US" })).newPage();
page.setDefaultTimeout(180_000);
await page.goto(`${site}/#/models`);
await page.evaluate((wanted) => localStorage.setItem("assay", JSON.stringify(wanted)), { place: "device", drawing });
await page.reload();
const began = performance.now();
await page.getByRole("button", { name: /^Download/ }).first().click();
await page.getByText(/^On this device, \d/).first().waitFor();
console.log(`${((performance.now() - began) / 1000).toFixed(1)} s to fetch and keep the weights`);
for (let run = 0; run < RUNS; run++) {
  await page.goto(`${site}/#/`);
  await page.getByLabel("Ask a question").fill("Tell me a long story about a river, a mill and a fox.");
  await page.keyboard.press("Enter");
  const reply = page.locator("article.reply").last();
  await reply.locator("[data-state=device]").waitFor();
  console.log((await reply.locator(".facts-line").innerText()).replace(/\s+/g, " "));
}
await browser.close();
