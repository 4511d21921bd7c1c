// All chats, and the turns of the one that is open. Every change goes to the database and to the other tabs, and sealed copies follow.
import { CHATS_MAX, TITLE_CHARS_MAX, UNDO_MS } from "../limits.ts";
import { prefs } from "../prefs.svelte.ts";
import { database } from "../store/db.ts";
import { newestLeaf, path } from "./tree.ts";
import type { Chat, Reply, Turn } from "./types.ts";
import { SvelteMap } from "svelte/reactivity";

type Word = { kind: "chats" } | { kind: "turn"; chat: string; turn: string };

const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel("assay");

class Chats {
  list: Chat[] = $state([]);
  loaded = $state(false);
  /** The chat whose turns are in `turns`; empty for none. */
  open = $state("");
  /** Turns of chats that were opened in this visit. */
  turns = new SvelteMap<string, Turn>();
  /** Whether the browser refuses to keep anything. */
  refused = $state(false);

  readonly current: Chat | undefined = $derived(this.list.find(({ id }) => id === this.open));
  readonly path: Turn[] = $derived(this.current === undefined ? [] : path(this.turns, this.current.leaf));

  async load(): Promise<void> {
    const db = await database();
    this.refused = db === undefined;
    const all = (await db?.getAll("chats")) ?? [];
    const gone = all.filter(({ deleted }) => deleted !== undefined && deleted + UNDO_MS < Date.now());
    for (const { id } of gone) await this.#erase(id);
    this.list = sorted(all.filter(({ deleted }) => deleted === undefined));
    for (const { id } of this.list.filter(({ pinned }) => !pinned).slice(CHATS_MAX)) await this.remove(id);
    this.loaded = true;
    channel?.addEventListener("message", ({ data }: MessageEvent<Word>) => void this.#hear(data));
  }

  async show(id: string): Promise<boolean> {
    if (id !== "" && !this.list.some((chat) => chat.id === id)) return false;
    this.open = id;
    const known = id === "" ? [] : ((await (await database())?.getAllFromIndex("turns", "chat", id)) ?? []);
    for (const turn of known) {
      // A turn that this tab works on is newer here than in the database.
      if (!this.turns.has(turn.id)) this.#put(turn);
    }
    return true;
  }

  create(): Chat {
    const now = Date.now();
    const chat: Chat = {
      id: crypto.randomUUID(),
      title: "",
      named: false,
      pinned: false,
      created: now,
      updated: now,
      leaf: "",
      draft: "",
    };
    this.list.unshift(chat);
    return this.list[0] ?? chat;
  }

  chat(id: string): Chat | undefined {
    return this.list.find((chat) => chat.id === id);
  }

  reply(id: string): Reply | undefined {
    const turn = this.turns.get(id);
    return turn?.role === "assistant" ? turn : undefined;
  }

  /** Adds a turn and shows the path that ends with it. */
  async add(turn: Turn): Promise<void> {
    this.#put(turn);
    const chat = this.chat(turn.chat);
    if (chat !== undefined) {
      chat.leaf = turn.id;
      chat.updated = turn.created;
      this.list = sorted(this.list);
      await this.save(chat);
    }
    await this.saveTurn(turn.id);
  }

  /** Shows another branch, down to where it was left. */
  async choose(turn: Turn): Promise<void> {
    const chat = this.chat(turn.chat);
    if (chat === undefined) return;
    chat.leaf = newestLeaf(this.turns, turn.id);
    chat.chosen = Date.now();
    await this.save(chat);
  }

  async rename(id: string, title: string): Promise<void> {
    const chat = this.chat(id);
    if (chat === undefined) return;
    chat.title = [...title.trim()].slice(0, TITLE_CHARS_MAX).join("");
    chat.named = chat.title !== "";
    chat.touched = Date.now();
    await this.save(chat);
  }

  async pin(id: string, pinned: boolean): Promise<void> {
    const chat = this.chat(id);
    if (chat === undefined) return;
    chat.pinned = pinned;
    chat.touched = Date.now();
    this.list = sorted(this.list);
    await this.save(chat);
  }

  /** Takes a chat off the list; what gives it back is returned. */
  async remove(id: string): Promise<() => Promise<void>> {
    const chat = this.chat(id);
    if (chat === undefined) return async () => {};
    this.list = this.list.filter((other) => other.id !== id);
    const kept = $state.snapshot(chat);
    await this.#write({ ...kept, deleted: Date.now() });
    const timer = setTimeout(() => void this.#erase(id), UNDO_MS);
    return async () => {
      clearTimeout(timer);
      this.list = sorted([...this.list, kept]);
      await this.save(kept);
    };
  }

  async save(chat: Chat): Promise<void> {
    await this.saveDraft(chat);
    await changed(chat.id);
  }

  /** Keeps what is typed, on this device only. */
  async saveDraft(chat: Chat): Promise<void> {
    await this.#write($state.snapshot(chat));
  }

  async saveTurn(id: string): Promise<void> {
    const turn = this.turns.get(id);
    if (turn === undefined || prefs.keep === "none") return;
    await (await database())?.put("turns", $state.snapshot(turn) as Turn).catch(() => (this.refused = true));
    tell({ kind: "turn", chat: turn.chat, turn: id });
    await changed(turn.chat);
  }

  /** Questions and titles that hold all words, newest first. */
  async search(text: string, limit: number): Promise<{ chat: Chat; excerpt: string }[]> {
    const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (wanted.length === 0) return [];
    const db = await database();
    const said = new Map<string, string[]>();
    const turns = new Map<string, Turn>([...((await db?.getAll("turns")) ?? []), ...this.turns.values()].map((turn) => [turn.id, turn]));
    for (const turn of turns.values()) said.set(turn.chat, [...(said.get(turn.chat) ?? []), turn.text]);
    const found: { chat: Chat; excerpt: string }[] = [];
    for (const chat of this.list) {
      const texts = [chat.title, ...(said.get(chat.id) ?? [])];
      const whole = texts.join("\n").toLowerCase();
      if (!wanted.every((word) => whole.includes(word))) continue;
      const where = texts.slice(1).find((part) => part.toLowerCase().includes(wanted[0] ?? "")) ?? "";
      const at = Math.max(0, where.toLowerCase().indexOf(wanted[0] ?? "") - 30);
      found.push({ chat, excerpt: where.slice(at, at + 120).replace(/\s+/g, " ") });
      if (found.length >= limit) break;
    }
    return found;
  }

  /** Replies that had not ended when they were last seen. */
  async unfinished(): Promise<Reply[]> {
    const open = (await (await database())?.getAllFromIndex("turns", "open", 1)) ?? [];
    return open.filter((turn): turn is Reply => turn.role === "assistant");
  }

  /** Puts a reply that was kept where the page sees it, unless it is there. */
  adopt(reply: Reply): Reply {
    if (!this.turns.has(reply.id)) this.#put(reply);
    return this.reply(reply.id) ?? reply;
  }

  /** Shows what came in from elsewhere and is in the database already. */
  arrive(chat: Chat | undefined, turns: Turn[]): void {
    const here = chat && this.chat(chat.id);
    if (chat !== undefined && (here === undefined || lastChange(here) <= lastChange(chat))) {
      this.list = sorted([...this.list.filter(({ id }) => id !== chat.id), chat]);
    }
    for (const turn of turns) if (turn.chat === this.open || this.turns.has(turn.id)) this.#put(turn);
    tell({ kind: "chats" });
    for (const turn of turns) tell({ kind: "turn", chat: turn.chat, turn: turn.id });
  }

  forget(): void {
    this.list = [];
    this.turns.clear();
    this.open = "";
    tell({ kind: "chats" });
  }

  /** A fresh proxy for each turn, so that a change of one redraws that one only. */
  #put(turn: Turn): void {
    const live = $state(turn);
    this.turns.set(turn.id, live);
  }

  async #write(chat: Chat): Promise<void> {
    if (prefs.keep === "none") return;
    await (await database())?.put("chats", chat).catch(() => (this.refused = true));
    tell({ kind: "chats" });
  }

  async #erase(id: string): Promise<void> {
    const tx = (await database())?.transaction(["chats", "turns", "changes", "copies"], "readwrite");
    if (tx === undefined) return;
    for (const key of await tx.objectStore("turns").index("chat").getAllKeys(id)) await tx.objectStore("turns").delete(key);
    await tx.objectStore("chats").delete(id);
    await tx.objectStore("changes").delete(id);
    const copies = await tx.objectStore("copies").index("chat").getAll(id);
    for (const copy of copies) await tx.objectStore("copies").put({ ...copy, state: "gone" });
    await tx.done;
    if (copies.length > 0) follow();
  }

  /** Another tab changed something. */
  async #hear(word: Word): Promise<void> {
    const db = await database();
    if (word.kind === "chats") {
      const all = (await db?.getAll("chats")) ?? [];
      this.list = sorted(all.filter(({ deleted }) => deleted === undefined));
    } else if (word.chat === this.open) {
      const turn = await db?.get("turns", word.turn);
      if (turn !== undefined) this.#put(turn);
    }
  }
}

/** Where sealed copies are kept elsewhere, too, they follow a change. */
async function changed(chat: string): Promise<void> {
  if (prefs.keep !== "canister") return;
  await (await database())?.put("changes", Date.now(), chat).catch(() => undefined);
  follow();
}

/** What cannot be loaded now is loaded by a later visit, which finds what changed. */
function follow(): void {
  if (prefs.keep === "canister") void import("../kept/kept.svelte.ts").then(({ kept }) => kept.soon(), () => undefined);
}

function tell(word: Word): void {
  channel?.postMessage(word);
}

const lastChange = ({ updated, touched = 0, chosen = 0 }: Chat): number => Math.max(updated, touched, chosen);

function sorted(list: Chat[]): Chat[] {
  return [...list].sort((a, b) => Number(b.pinned) - Number(a.pinned) || b.updated - a.updated);
}

export const chats = new Chats();
