// Asking, and how answers come.
import assert from "node:assert/strict";
import { LONG, SHORT, askVerified, badge, few, lastReply, openChat, ownJobs, prefer, send, streaming, textOf } from "../chat.mjs";
import { scenario } from "../setup.mjs";

/** Long enough to be seen coming, stopped, and reloaded in the middle of. */
const STORY = few(96);
const LONG_STORY = few(160);

scenario("a reader with an empty profile asks and sees a verified badge", { serviceWorker: true }, async ({ page, site }) => {
  const text = await askVerified(page, site);
  assert.match(text, /Paris/);
  assert.equal(await page.title(), `${SHORT} · Assay`);
  const line = await lastReply(page).locator(".facts-line").innerText();
  assert.match(line, /smollm2-135m-instruct/);
  assert.match(line, /cycles, from the guest pool/);
});

scenario("text is shown while the answer is still being written", {}, async ({ context, page, site }) => {
  await prefer(context, STORY);
  await openChat(page, site);
  await send(page, LONG);
  await streaming(page);
  assert.equal(await badge(page, "pending", "verified"), "pending");
  const seen = new Set();
  while ((await lastReply(page).getAttribute("aria-busy")) === "true") {
    seen.add((await textOf(page)).length);
    await page.waitForTimeout(20);
  }
  assert.ok(seen.size >= 3, `the text had ${seen.size} lengths on its way`);
  await badge(page, "verified");
});

scenario("a reader stops an answer, keeps what was there, and may see the whole of it", {}, async ({ context, page, site }) => {
  await prefer(context, LONG_STORY);
  await openChat(page, site);
  await send(page, LONG);
  await streaming(page);
  await page.getByRole("button", { name: "Stop" }).click();
  await lastReply(page).getByText(/workers finish it and are paid|You stopped this answer/).first().waitFor();
  const kept = await textOf(page);
  await badge(page, "verified");
  assert.equal(await textOf(page), kept, "the text went on after the stop");
  await page.getByRole("button", { name: "Show the whole answer" }).click();
  await page.waitForFunction((least) => [...document.querySelectorAll("article.reply .md")].at(-1).textContent.length > least, kept.length);
  assert.ok((await textOf(page)).startsWith(kept.trim().slice(0, 20)));
});

scenario("an answer goes on after a reload in the middle of it, and is asked for once", {}, async ({ context, page, site }) => {
  await prefer(context, STORY);
  await openChat(page, site);
  await send(page, LONG);
  await streaming(page);
  const before = await textOf(page);
  await page.reload();
  await lastReply(page).waitFor();
  await badge(page, "verified");
  const after = await textOf(page);
  assert.ok(after.length > before.length && after.startsWith(before.trim().slice(0, 20)), "the text is another one");
  await ownJobs(page, site, 1);
});

scenario("a question is edited into a branch, and both answers stay", {}, async ({ context, page, site }) => {
  await prefer(context, few(24));
  await askVerified(page, site);
  await page.getByRole("button", { name: "Edit the question" }).click();
  await page.getByRole("textbox", { name: "Edit the question" }).fill("What is the capital of Italy?");
  await page.getByRole("button", { name: "Ask this" }).click();
  await page.locator("article.question", { hasText: "Italy" }).waitFor();
  await badge(page, "verified");
  await page.getByText("2 / 2").first().waitFor();
  await page.getByRole("button", { name: "Alternative before" }).click();
  await page.locator("article.question", { hasText: "France" }).waitFor();
  await badge(page, "verified");
});
