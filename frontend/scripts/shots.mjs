// Pictures of every page of a running site, for the documentation: light and dark, and the chat on a phone as well.
//
//   npm run shots -- http://<canister>.localhost:4943 ../docs/web
//
// Wants Chromium: ASSAY_CHROMIUM, else /usr/bin/chromium. It asks real questions, so the network needs workers.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [address, folder] = process.argv.slice(2);
if (!address || !folder) throw new Error("usage: npm run shots -- URL FOLDER");
const site = address.replace(/\/$/, "");
const QUESTIONS = ["What is the capital of France?", "Why is the sky blue?", "Name three rivers of Europe."];
const DRAWING = { temperatureMilli: 0, topPPpm: 1_000_000, topK: 0, maxTokens: 120, seed: "", system: "" };
const WIDE = { width: 1280, height: 800 };
const TALL = { width: 1280, height: 1500 };
const NARROW = { width: 360, height: 740 };
const QUALITY = 0.82;

const browser = await chromium.launch({
  executablePath: process.env.ASSAY_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const context = await browser.newContext({ viewport: WIDE, locale: "en-US", reducedMotion: "reduce", colorScheme: "light" });
const page = await context.newPage();
// The browser can write WebP, the driver cannot.
const painter = await (await browser.newContext()).newPage();

async function webp(png) {
  const text = await painter.evaluate(
    async ([data, quality]) => {
      const image = new Image();
      image.src = `data:image/png;base64,${data}`;
      await image.decode();
      const canvas = new OffscreenCanvas(image.width, image.height);
      canvas.getContext("2d").drawImage(image, 0, 0);
      const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/webp", quality })).arrayBuffer());
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    },
    [png.toString("base64"), QUALITY],
  );
  return Buffer.from(text, "base64");
}

let total = 0;
async function shoot(name) {
  await page.mouse.move(0, 0);
  await page.waitForTimeout(500);
  const bytes = await webp(await page.screenshot());
  total += bytes.length;
  writeFileSync(`${folder}/${name}.webp`, bytes);
  console.log(`${(bytes.length / 1000).toFixed(1).padStart(6)} kB  ${name}.webp`);
}

async function open(hash, said) {
  await page.goto(`${site}/${hash}`);
  await page.locator("main").getByText(said).first().waitFor();
}

const prefs = (change) => page.evaluate((wanted) => localStorage.setItem("assay", JSON.stringify(wanted)), { drawing: DRAWING, ...change });

async function ask(text) {
  const before = await page.locator("article.reply").count();
  await page.getByLabel("Ask a question").fill(text);
  await page.keyboard.press("Enter");
  await page.locator("article.reply").nth(before).locator("[data-state=verified]").waitFor({ timeout: 90_000 });
}

mkdirSync(folder, { recursive: true });
await page.goto(`${site}/#/`);
await prefs({ sureness: { kind: "equality", total: 3 } });
await page.reload();
await page.getByText(/is ready, from/).waitFor();
await ask(QUESTIONS[2]);
await prefs({});
await page.goto(`${site}/#/`);
await page.reload();
await page.getByText(/is ready, from/).waitFor();
await ask(QUESTIONS[0]);
await ask(QUESTIONS[1]);
const chat = new URL(page.url()).hash;
await page.getByRole("button", { name: /^Receipt/ }).last().click();
const job = await page.locator("dialog a[href^='#/job/']").first().getAttribute("href");
const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Save the receipt" }).click()]);
const receipt = readFileSync(await download.path());
await page.keyboard.press("Escape");

for (const colorScheme of ["light", "dark"]) {
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  const name = (what) => `${what}-${colorScheme}`;
  await open("#/", /is ready, from/);
  await shoot(name("start"));
  await open(chat, QUESTIONS[1]);
  await shoot(name("chat"));
  await page.setViewportSize(NARROW);
  await shoot(name("chat-phone"));
  await page.setViewportSize(WIDE);
  await page.getByRole("button", { name: /^Receipt/ }).last().click();
  await page.getByRole("dialog").locator("table").waitFor();
  await shoot(name("receipt"));
  await page.keyboard.press("Escape");
  await open("#/network", /Verified answers/);
  await page.locator("main table").first().waitFor();
  await shoot(name("network"));
  await open(job, /Who found what/);
  await page.locator(".matrix").waitFor();
  await shoot(name("job"));
  await page.goto(`${site}/#/network`);
  await page.locator("main a[href^='#/worker/']").first().click();
  await page.getByText("Why it has work, or none").waitFor();
  await shoot(name("worker"));
  await open("#/models", /about .* cycles/);
  await shoot(name("models"));
  await open("#/hardware", /as their maker publishes them/);
  await page.setViewportSize(TALL);
  await shoot(name("hardware"));
  await page.setViewportSize(WIDE);
  await open("#/verify", /Drop a receipt file/);
  await page.locator("input[type=file]").setInputFiles({ name: "receipt.json", mimeType: "application/json", buffer: receipt });
  await page.getByText("This receipt holds").waitFor();
  await shoot(name("verify"));
  await open("#/provide", /Register as a provider/);
  await shoot(name("provide"));
  await open("#/account", /left for you today/);
  await shoot(name("account"));
  await open("#/settings", /Temperature/);
  await shoot(name("settings"));
  await open("#/about", /Workers that hold the job/);
  await shoot(name("about"));
}
await browser.close();
console.log(`${(total / 1000).toFixed(0).padStart(6)} kB  in all`);
