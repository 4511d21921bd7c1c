// Chats that are kept sealed in the page's canister.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { openProfile } from "../browser.mjs";
import { SHORT, askVerified, badge, few, lastReply, prefer, textOf } from "../chat.mjs";
import { choice, compare, enterKey, keepSealed, keyOf, unpacked } from "../kept.mjs";
import { signIn } from "../person.mjs";
import { scenario } from "../setup.mjs";

const ONE = "1 chat is kept there.";
const NONE = "No chat is kept there yet.";
const KEYLESS = /^1 chat of this account is kept sealed, and its key is not in this browser/;
const WRONG = `assay-chat-key-1:${"A".repeat(43)}`;
const now = 1_780_000_000_000;
const FILE = {
  format: "assay-chats-1",
  saved: "",
  chats: [{ id: "0f8fad5b-d9cb-469f-a165-70867728950e", title: "Mills", named: true, pinned: false, created: now, updated: now, leaf: "mills-a", draft: "" }],
  turns: [
    { id: "mills-q", chat: "0f8fad5b-d9cb-469f-a165-70867728950e", parent: "", created: now, role: "user", text: "What turns a mill?" },
    {
      id: "mills-a", chat: "0f8fad5b-d9cb-469f-a165-70867728950e", parent: "mills-q", created: now + 1, role: "assistant", text: "A river.", place: "device", model: "m", phase: "ended",
      open: 0, stopped: false, round: 0, cursor: 0, proof: { kind: "none" }, left: 0,
    },
  ],
  receipts: [],
};

const calls = (up) => new RegExp(`/api/v\\d+/canister/${up.page.canister}/call`);

async function importFile(page, site) {
  await page.goto(`${site}/#/settings`);
  await page.locator("input[type=file]").setInputFiles({ name: "chats.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(FILE)) });
  await page.getByText("1 chat came in").waitFor();
}

/** Does something with a chat by its menu in the sidebar. */
async function menu(page, title, item) {
  await page.getByRole("link", { name: title }).hover();
  await page.getByRole("button", { name: `Options of “${title}”` }).click();
  await page.getByRole("button", { name: item, exact: true }).click();
}

/** Turns copies off and drops them, which leaves nothing for the next case. */
async function dropAll(page, site) {
  await page.goto(`${site}/#/settings`);
  await choice(page, "device").check();
  await page.getByRole("dialog").getByRole("button", { name: "Drop them" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

scenario("chats kept sealed in the canister come back in another browser with the key, and do not open without", {}, async ({ context, page, site, up, browser, heard }) => {
  await prefer(context, few(24));
  const sent = [];
  context.on("request", (request) => {
    if (calls(up).test(request.url())) sent.push(request.postDataBuffer() ?? Buffer.alloc(0));
  });
  const answer = await askVerified(page, site);
  const address = page.url();
  await signIn(page, site);
  await keepSealed(page, site, ONE);
  const key = await keyOf(page);
  assert.match(key, /^assay-chat-key-1:[A-Za-z0-9_-]{43}$/);
  await page.getByRole("button", { name: "Save the key" }).click();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("dialog").getByRole("button", { name: "Download" }).click()]);
  assert.equal(readFileSync(await file.path(), "utf8"), `${key}\n`);
  await page.keyboard.press("Escape");

  assert.ok(sent.some((body) => body.includes("keep_chat")), "a copy went to the canister");
  const secrets = [SHORT, answer.trim(), "assay-chats-1", key, Buffer.from(key.split(":")[1], "base64url")];
  for (const body of sent) for (const secret of secrets) assert.ok(!body.includes(secret), `${secret} went over the wire`);
  // A copy is packed before it is sealed, so it must not unpack either; words that are only packed would be found.
  const packed = Buffer.concat([Buffer.from("keep_chat"), gzipSync(JSON.stringify(FILE)), Buffer.from("end")]);
  assert.equal(String(unpacked(packed)[0]), JSON.stringify(FILE));
  for (const body of sent) assert.deepEqual(unpacked(body).map(String), [], "what went over the wire unpacks");

  const other = await openProfile(browser, site);
  await signIn(other.page, site);
  await keepSealed(other.page, site, KEYLESS);
  const link = other.page.getByRole("link", { name: SHORT });
  assert.equal(await link.count(), 0);
  await enterKey(other.page, "a key", /^This is not a key/);
  await enterKey(other.page, WRONG, /^This key opens none of the chats/);
  await compare(other.page);
  await other.page.locator("main").getByText(KEYLESS).first().waitFor();
  assert.equal(await link.count(), 0);
  await enterKey(other.page, key);
  await link.waitFor();
  await other.page.getByText("1 chat came from the canister").waitFor();
  await other.page.goto(address);
  await badge(other.page, "verified");
  assert.equal(await textOf(other.page), answer);

  await dropAll(page, site);
  await other.page.goto(`${site}/#/settings`);
  await compare(other.page);
  await other.page.getByText(NONE).waitFor();
  await other.page.goto(address);
  assert.equal(await textOf(other.page), answer, "what is dropped there stays here");
  heard.push(...other.heard);
  await other.context.close();
});

scenario("a chat that changes or goes on one device changes or goes in the canister, and stays on the other", {}, async ({ page, site, browser, heard }) => {
  await importFile(page, site);
  await signIn(page, site);
  await keepSealed(page, site, ONE);
  const key = await keyOf(page);
  const other = await openProfile(browser, site);
  await signIn(other.page, site);
  await keepSealed(other.page, site, KEYLESS);
  await enterKey(other.page, key);
  await other.page.getByRole("link", { name: "Mills" }).waitFor();

  await menu(page, "Mills", "Rename");
  await page.keyboard.type("Rivers");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Rivers" }).waitFor();
  const renamed = other.page.getByRole("link", { name: "Rivers" });
  for (let tries = 0; tries < 20 && (await renamed.count()) === 0; tries++) {
    await compare(other.page);
    await other.page.waitForTimeout(1_000);
  }
  await renamed.click();
  await lastReply(other.page).getByText("A river.").waitFor();

  await other.page.goto(`${site}/#/settings`);
  await menu(page, "Rivers", "Delete");
  await page.getByText(NONE).waitFor({ timeout: 40_000 });
  await compare(other.page);
  await other.page.getByText(NONE).waitFor();
  assert.equal(await renamed.count(), 1);
  heard.push(...other.heard);
  await other.context.close();
});

scenario("copies that cannot be sent are told once, lose nothing, and go when tried again", { exempt: /ERR_FAILED|Failed to fetch|Failed to load resource/ }, async ({ context, page, site, up }) => {
  await importFile(page, site);
  await keepSealed(page, site, ONE);
  await context.route(calls(up), (route) => route.abort());
  await page.goto(`${site}/#/`);
  await menu(page, "Mills", "Pin");
  const told = page.getByRole("status").getByText("The copies of your chats are not up to date. Nothing is lost in this browser.");
  await told.waitFor({ timeout: 60_000 });
  await page.goto(`${site}/#/settings`);
  const alert = page.locator("main").getByRole("alert");
  await alert.getByText("The network does not answer.").waitFor();
  await page.reload();
  await page.getByRole("region", { name: "Pinned" }).getByRole("link", { name: "Mills" }).waitFor();
  await alert.getByText("The network does not answer.").waitFor({ timeout: 60_000 });

  await context.unroute(calls(up));
  const [sent] = await Promise.all([page.waitForRequest(calls(up)), alert.getByRole("button", { name: "Try again" }).click()]);
  assert.ok(sent.postDataBuffer().includes("keep_chat"));
  await page.getByText(ONE).waitFor();
  assert.equal(await alert.count(), 0);
  await dropAll(page, site);
});

scenario("a tab that is open follows another one: it begins with copies, and does not bring back what was dropped", {}, async ({ context, page, site, up }) => {
  await importFile(page, site);
  const second = await context.newPage();
  await second.goto(`${site}/#/settings`);
  await second.locator("input[name=keep][value=device]:checked").waitFor();
  const sent = [];
  second.on("request", (request) => {
    if (calls(up).test(request.url())) sent.push(request.postDataBuffer() ?? Buffer.alloc(0));
  });

  await keepSealed(page, site, ONE);
  await second.locator("input[name=keep][value=canister]:checked").waitFor();
  await second.locator("main").getByText(ONE).first().waitFor();
  sent.length = 0;
  await menu(second, "Mills", "Pin");
  for (let tries = 0; tries < 40 && sent.length === 0; tries++) await second.waitForTimeout(500);
  assert.ok(sent.some((body) => body.includes("keep_chat")), "what changes in the other tab goes to the canister");

  await dropAll(page, site);
  await second.locator("input[name=keep][value=device]:checked").waitFor();
  sent.length = 0;
  await menu(second, "Mills", "Unpin");
  await second.locator("input[name=theme]").last().check();
  await page.locator("html[data-theme=dark]").waitFor({ state: "attached" });
  // Longer than a copy waits after a change.
  await second.waitForTimeout(8_000);
  assert.equal(sent.length, 0, "the other tab sends nothing any more");
  for (const tab of [page, second]) {
    await tab.reload();
    await tab.locator("input[name=keep][value=device]:checked").waitFor();
  }
});

// A text file has no icon, and the browser asks for one.
scenario("a browser with the database of an earlier release keeps what is in it", { exempt: /status of 404/ }, async ({ page, site }) => {
  await page.goto(`${site}/robots.txt`);
  await page.evaluate(async ({ chats, turns }) => {
    const db = await new Promise((resolve, reject) => {
      const opening = indexedDB.open("assay", 1);
      opening.onerror = reject;
      opening.onsuccess = () => resolve(opening.result);
      opening.onupgradeneeded = () => {
        opening.result.createObjectStore("chats", { keyPath: "id" });
        const store = opening.result.createObjectStore("turns", { keyPath: "id" });
        for (const name of ["chat", "open"]) store.createIndex(name, name);
        opening.result.createObjectStore("receipts", { keyPath: "id" });
        opening.result.createObjectStore("keys");
      };
    });
    const tx = db.transaction(["chats", "turns"], "readwrite");
    for (const chat of chats) tx.objectStore("chats").put(chat);
    for (const turn of turns) tx.objectStore("turns").put(turn);
    await new Promise((resolve) => (tx.oncomplete = resolve));
    db.close();
  }, FILE);
  await page.goto(`${site}/#/`);
  await page.getByRole("link", { name: "Mills" }).click();
  await lastReply(page).getByText("A river.").waitFor();
});
