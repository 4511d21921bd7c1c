// Walks through every page of a running site in both themes and two widths: axe, console errors, screenshots.
//
//   node scripts/audit.mjs http://localhost:4173 [folder for screenshots]
//
// Wants Chromium: ASSAY_CHROMIUM, else /usr/bin/chromium.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [site = "http://localhost:4173", folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: process.env.ASSAY_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
if (folder) mkdirSync(folder, { recursive: true });

let passed = 0;
const problems = [];

async function ask(page, text) {
  await page.goto(`${site}/#/`);
  await page.getByLabel("Ask a question").fill(text);
  await page.keyboard.press("Enter");
  await page.locator("[data-state=verified]").last().waitFor({ timeout: 60_000 });
}

async function look(page, name, path, label) {
  if (path !== undefined) {
    await page.goto(`${site}/${path}`);
    await page.waitForTimeout(1_500);
  }
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, nodes, help } of violations) {
    problems.push(`${label} ${name}: ${id}: ${help}: ${nodes.slice(0, 3).map(({ target, any }) => `${target.join(" ")} (${any[0]?.message ?? ""})`).join("; ")}`);
  }
  if (violations.length === 0) passed++;
  // What is wider than the page makes it scroll sideways.
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) problems.push(`${label} ${name}: ${wide} pixels too wide`);
  if (folder) await page.screenshot({ path: `${folder}/${label}-${name}.png` });
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 360]) {
    const label = `${colorScheme}-${width}`;
    const context = await browser.newContext({ viewport: { width, height: width > 600 ? 800 : 740 }, colorScheme, locale: "en-US" });
    const page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(`${label} console: ${message.text().slice(0, 300)}`);
    });
    page.on("pageerror", (error) => problems.push(`${label} exception: ${error.message.slice(0, 300)}`));
    await page.goto(`${site}/#/`);
    await page.waitForTimeout(1_500);
    await look(page, "start", undefined, label);
    await ask(page, "Name three rivers of Europe.");
    await look(page, "chat", undefined, label);
    await page.getByRole("button", { name: /^Receipt/ }).last().click();
    await page.getByRole("dialog").waitFor();
    await page.waitForTimeout(600);
    await look(page, "receipt", undefined, label);
    const job = await page.locator("dialog a[href^='#/job/']").first().getAttribute("href");
    await page.keyboard.press("Escape");
    await page.getByRole("group", { name: "Conversation" }).count();
    await page.keyboard.press("Control+k");
    await page.waitForTimeout(400);
    await look(page, "search", undefined, label);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+/");
    await page.waitForTimeout(400);
    await look(page, "shortcuts", undefined, label);
    await page.keyboard.press("Escape");
    for (const name of ["network", "jobs", "models", "hardware", "verify", "provide", "account", "settings", "about"]) await look(page, name, `#/${name}`, label);
    await look(page, "job", job, label);
    const model = await page.locator("a[href^='#/model/']").first().getAttribute("href");
    const worker = await page.locator("a[href^='#/worker/']").first().getAttribute("href");
    await look(page, "model", model, label);
    await look(page, "worker", worker, label);
    await look(page, "unknown", "#/nowhere", label);
    await context.close();
  }
}
await browser.close();
for (const problem of problems) console.log(problem);
console.log(`${passed} passed, ${problems.length} problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
