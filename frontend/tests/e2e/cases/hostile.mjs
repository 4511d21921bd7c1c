// Answers and files that mean harm. Chats come in through the import, the way by which a stranger's text reaches the page.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { openProfile } from "../browser.mjs";
import { askVerified, badge, few, lastReply, prefer } from "../chat.mjs";
import { scenario } from "../setup.mjs";

const AWAY = "http://attacker.localhost:9/";
const HOSTILE = [
  `<script>globalThis.harmed = 1</script>`,
  `<img src=x onerror="globalThis.harmed = 2">`,
  `<svg onload="globalThis.harmed = 3"><script>globalThis.harmed = 4</script></svg>`,
  `<iframe src="${AWAY}frame" srcdoc="<script>parent.harmed = 5</script>"></iframe>`,
  `<math><mtext></table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=globalThis.harmed=6&gt;">`,
  `<form action="${AWAY}form"><button formaction="javascript:globalThis.harmed=7">Send</button></form>`,
  `<a href="javascript:globalThis.harmed=8" autofocus onfocus="globalThis.harmed=9">press</a>`,
  `<style>@import url("${AWAY}style");</style><link rel="stylesheet" href="${AWAY}link"><meta http-equiv="refresh" content="0;url=${AWAY}meta">`,
  `<video src="${AWAY}video" autoplay onerror="globalThis.harmed=10"></video><object data="${AWAY}object"></object><embed src="${AWAY}embed">`,
  `<details open ontoggle="globalThis.harmed=11">x</details><body onpageshow="alert(12)">`,
  `[press](javascript:globalThis.harmed=13) [and](data:text/html,<script>alert(14)</script>) [or](vbscript:alert(15)) [so](JaVaScRiPt:alert(16))`,
  `[way](java\nscript:alert(17)) <javascript:alert(18)> [x](&#106;avascript:alert(19))`,
  `![picture](${AWAY}picture.png) ![data](data:image/svg+xml,<svg onload=alert(20)>)`,
  `[ref]: javascript:alert(21)\n[ref] ![ref][away]\n\n[away]: ${AWAY}reference.png "t"`,
  "```html\n<script>globalThis.harmed = 22</script>\n```",
  "```\"><img src=x onerror=globalThis.harmed=23>\ncode\n```",
  "`<img src=x onerror=globalThis.harmed=24>`",
  `$$\\href{javascript:globalThis.harmed=25}{x}$$`,
  `$$\\includegraphics{${AWAY}math.png} \\url{javascript:alert(26)} \\class{x}{y} \\style{background:url(${AWAY}css)}{z}$$`,
  `| a | b |\n|---|---|\n| <img src=x onerror=globalThis.harmed=27> | [x](javascript:alert(28)) |`,
  `<a href="${AWAY}ping" ping="${AWAY}ping" target="_self">link</a> <base href="${AWAY}">`,
  `<div id="app" class="app" style="position:fixed;inset:0;background:url(${AWAY}background)">over everything</div>`,
  `<input name="getElementById"><form id="location"><img name="cookie" id="indexedDB"></form>`,
  `https://example.org/<script>alert(29)</script> www.example.org"onmouseover="alert(30)`,
  `${"> ".repeat(400)}deep ${"*".repeat(2_000)} ${"[".repeat(2_000)}`,
  `<template><script>globalThis.harmed = 31</script></template><noscript><p title="</noscript><img src=x onerror=globalThis.harmed=32>">`,
  `<a id="x" href="#/settings" onclick="globalThis.harmed=33">settings</a><button popovertarget="y">z</button>`,
];

const now = 1_780_000_000_000;
const reply = (text, more = {}) => ({
  id: "reply", chat: "chat", parent: "question", created: now + 1, role: "assistant", text, place: "network", model: "m", phase: "ended",
  open: 0, stopped: false, round: 0, cursor: 0, proof: { kind: "none" }, left: 0, ...more,
});
const file = (turn) => ({
  format: "assay-chats-1",
  saved: "",
  chats: [{ id: "chat", title: HOSTILE[1], named: true, pinned: false, created: now, updated: now, leaf: "reply", draft: "" }],
  turns: [{ id: "question", chat: "chat", parent: "", created: now, role: "user", text: HOSTILE.slice(0, 3).join(" ") }, turn],
  receipts: [],
});

async function take(page, site, chats) {
  await page.goto(`${site}/#/settings`);
  const buffer = Buffer.from(JSON.stringify(chats));
  await page.locator("input[type=file]").setInputFiles({ name: "chats.json", mimeType: "application/json", buffer });
  await page.getByText("1 chat came in").waitFor();
  await page.goto(`${site}/#/chat/chat`);
  await lastReply(page).waitFor();
}

scenario("hostile text is shown and does nothing: no script, no dialog, no request to elsewhere", {}, async ({ context, page, site }) => {
  const away = [];
  context.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== site && protocol !== "blob:" && protocol !== "data:") away.push(request.url());
  });
  await take(page, site, file(reply(HOSTILE.join("\n\n"))));
  await lastReply(page).locator(".md .block, .md pre").nth(20).waitFor();
  // Everything that could be pressed or pointed at, is.
  for (const place of await lastReply(page).locator(".md a, .md button, .md [tabindex]").all()) {
    await place.hover({ timeout: 1_000, force: true }).catch(() => undefined);
    await place.focus({ timeout: 1_000 }).catch(() => undefined);
  }
  await page.waitForTimeout(500);
  const found = await page.evaluate(() => {
    const md = [...document.querySelectorAll("article.reply .md")].at(-1);
    const all = [...md.querySelectorAll("*")];
    return {
      harmed: globalThis.harmed,
      tags: [...new Set(all.map(({ localName }) => localName))].filter((name) =>
        ["script", "img", "iframe", "object", "embed", "form", "input", "style", "link", "meta", "base", "video", "audio", "template", "details", "body"].includes(name),
      ),
      handlers: all.flatMap(({ attributes }) => [...attributes].map(({ name }) => name)).filter((name) => /^on|^ping$|^style$|^srcdoc$|^formaction$/.test(name)),
      links: all.map((node) => node.getAttribute("href") ?? "").filter((href) => href !== "" && !/^(https?:|mailto:|#)/i.test(href)),
      text: md.textContent,
    };
  });
  assert.equal(found.harmed, undefined);
  assert.deepEqual(found.tags, []);
  assert.deepEqual(found.handlers, []);
  assert.deepEqual(found.links, []);
  assert.ok(found.text.includes("<script>globalThis.harmed = 1</script>"), "the text is shown as it is");
  assert.deepEqual(away, []);
});

scenario("a chat from a file shows no badge that its receipt does not earn", {}, async ({ page, site }) => {
  const ending = { outcome: "verified", reason: "RootsAgree", finish: "stop", inputTokens: 1, outputTokens: 1, escrow: { "#int": "0" }, sponsored: { "#int": "0" }, paid: { "#int": "0" }, fee: { "#int": "0" }, refund: { "#int": "0" } };
  const forged = { proof: { kind: "proven", hash: "00".repeat(32), signedAt: now, checkedAt: now }, rerun: { kind: "same", at: now, root: "00".repeat(32), ms: 1 }, shard: "aaaaa-aa", job: "1", ending };
  await take(page, site, file(reply("The moon is made of cheese.", forged)));
  await lastReply(page).locator("[data-state]").waitFor();
  assert.equal(await page.locator("[data-state=verified], [data-state=reverified]").count(), 0);
});

scenario("an exported chat keeps its badge in another browser, and loses it with another answer", {}, async ({ context, page, site, browser, heard }) => {
  await prefer(context, few(24));
  const answer = await askVerified(page, site);
  const address = page.url();
  await page.goto(`${site}/#/settings`);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export everything" }).click()]);
  const exported = readFileSync(await download.path(), "utf8");
  for (const [text, state] of [[exported, "verified"], [exported.replaceAll(answer.trim(), "The capital of France is Lyon."), "refused"]]) {
    const other = await openProfile(browser, site);
    await other.page.goto(`${site}/#/settings`);
    await other.page.locator("input[type=file]").setInputFiles({ name: "chats.json", mimeType: "application/json", buffer: Buffer.from(text) });
    await other.page.getByText("1 chat came in").waitFor();
    await other.page.goto(address);
    await badge(other.page, state);
    heard.push(...other.heard);
    await other.context.close();
  }
});
