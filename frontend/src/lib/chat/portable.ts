// Chats as a file: everything of them, receipts included, so that the proofs go along; and chats out of such a file.
import { hex, unhex } from "../bytes.ts";
import { IMPORT_FILE_BYTES_MAX } from "../limits.ts";
import { database, type KeptReceipt } from "../store/db.ts";
import type { Chat, Reply, Turn } from "./types.ts";

const FORMAT = "assay-chats-1";

export interface Portable {
  format: typeof FORMAT;
  saved: string;
  chats: Chat[];
  turns: Turn[];
  receipts: KeptReceipt[];
}

/** JSON has no big numbers and no bytes: both become objects with one key. */
function write(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return { "#int": value.toString() };
  if (value instanceof Uint8Array) return { "#bytes": hex(value) };
  if (value instanceof Uint32Array) return { "#tokens": [...value] };
  return value;
}

function read(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const given = value as Record<string, unknown>;
  if (typeof given["#int"] === "string" && /^-?\d{1,40}$/.test(given["#int"])) return BigInt(given["#int"]);
  if (typeof given["#bytes"] === "string") return unhex(given["#bytes"]) ?? new Uint8Array();
  if (Array.isArray(given["#tokens"])) return Uint32Array.from(given["#tokens"] as number[]);
  return value;
}

export async function exportChats(): Promise<string> {
  const db = await database();
  return writeChats({
    chats: ((await db?.getAll("chats")) ?? []).filter(({ deleted }) => deleted === undefined),
    turns: (await db?.getAll("turns")) ?? [],
    receipts: (await db?.getAll("receipts")) ?? [],
  });
}

export function writeChats(parts: Pick<Portable, "chats" | "turns" | "receipts">): string {
  const portable: Portable = { format: FORMAT, saved: new Date().toISOString(), ...parts };
  return JSON.stringify(portable, write);
}

/** Under which id a reply's receipt is kept. */
export const receiptIdOf = ({ shard, job }: Reply): string => `${shard}/${job}`;

/** What a file holds, or why it holds nothing. Nothing in it is trusted: receipts are checked when they come in. */
export function parseChats(text: string): Portable | undefined {
  if (text.length > IMPORT_FILE_BYTES_MAX) return undefined;
  try {
    const found = JSON.parse(text, read) as Partial<Portable>;
    const isList = (list: unknown): list is { id: string }[] =>
      Array.isArray(list) && list.every((entry: unknown) => typeof (entry as { id?: unknown } | null)?.id === "string");
    if (found.format !== FORMAT || !isList(found.chats) || !isList(found.turns) || !isList(found.receipts)) return undefined;
    return found as Portable;
  } catch {
    return undefined;
  }
}

/** Adds what is not here yet; what is here stays as it is. Answers with how many chats came. */
export async function importChats({ chats, turns, receipts }: Portable): Promise<number> {
  const db = await database();
  if (db === undefined) return 0;
  let added = 0;
  for (const chat of chats) {
    if ((await db.getKey("chats", chat.id)) !== undefined) continue;
    await db.put("chats", chat);
    added++;
  }
  const receiptOf = new Map(receipts.map((receipt) => [receipt.id, receipt]));
  for (const turn of turns) if ((await db.getKey("turns", turn.id)) === undefined) await db.put("turns", await arrived(turn, receiptOf));
  for (const receipt of receipts) if ((await db.getKey("receipts", receipt.id)) === undefined) await db.put("receipts", receipt);
  return added;
}

/** A turn from elsewhere as it may stand here. */
export async function arrived(turn: Turn, receipts: ReadonlyMap<string, KeptReceipt>): Promise<Turn> {
  if (turn.role !== "assistant") return turn;
  const { proofOf } = await import("./imported.ts");
  // What was under way elsewhere is not under way here, and what was run again elsewhere was not run here.
  const { rerun: _, ...rest } = turn;
  return { ...rest, open: 0, proof: await proofOf(turn, receipts.get(receiptIdOf(turn))) };
}

/** All chats for reading. */
export async function exportMarkdown(): Promise<string> {
  const db = await database();
  const parts: string[] = [];
  for (const chat of (await db?.getAll("chats")) ?? []) {
    const turns = new Map(((await db?.getAllFromIndex("turns", "chat", chat.id)) ?? []).map((turn) => [turn.id, turn]));
    const { path } = await import("./tree.ts");
    const lines = path(turns, chat.leaf).map((turn) => {
      if (turn.role === "user") return `**You**\n\n${turn.text}`;
      const verdict = turn.ending?.outcome ?? turn.phase;
      const root = turn.root === undefined ? "" : `, result root ${turn.root}`;
      return `**${turn.model}** (${verdict}${root})\n\n${turn.text}`;
    });
    parts.push(`# ${chat.title}\n\n${lines.join("\n\n")}`);
  }
  return `${parts.join("\n\n---\n\n")}\n`;
}
