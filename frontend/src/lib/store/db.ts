// What outlasts a visit: IndexedDB, or memory where the browser refuses it or nothing shall be kept.
import { openDB, type DBSchema, type IDBPDatabase } from "idb";
import type { Chat, Turn } from "../chat/types.ts";

/** A receipt as it was fetched, with the root key that it was checked with. */
export interface KeptReceipt {
  /** `<canister>/<job>`. */
  id: string;
  network: string;
  rootKey: Uint8Array;
  /** The certified receipt in Candid. */
  bytes: Uint8Array;
  keptAt: number;
}

/** What this browser knows of a chat's sealed copy in the page's canister. */
export interface KeptCopy {
  /** `<canister>/<account>/<name there, in hexadecimal>`. */
  id: string;
  /** The chat's own id; empty where the key does not open the copy. */
  chat: string;
  /** The canister's time of the copy that was sent from here or taken in last. */
  at: bigint;
  /** The chat's last change that went there; -1 where it shall go anew. */
  sent: number;
  /** `sealed`: with another key. `large`: too large to go there. `gone`: deleted here, to be dropped there. */
  state: "kept" | "sealed" | "large" | "gone";
}

interface Schema extends DBSchema {
  chats: { key: string; value: Chat };
  turns: { key: string; value: Turn; indexes: { chat: string; open: number } };
  receipts: { key: string; value: KeptReceipt };
  keys: { key: string; value: CryptoKeyPair };
  /** When a chat changed last, by its id, while sealed copies follow. */
  changes: { key: string; value: number };
  copies: { key: string; value: KeptCopy; indexes: { chat: string } };
  /** What chats are sealed with. */
  sealing: { key: string; value: CryptoKey };
}

export type Database = IDBPDatabase<Schema>;

const NAME = "assay";
let opened: Promise<Database | undefined> | undefined;

/** `undefined` where the browser has no database for us, as in some private windows. */
export function database(): Promise<Database | undefined> {
  opened ??= openDB<Schema>(NAME, 2, {
    upgrade(db, before) {
      if (before < 1) {
        db.createObjectStore("chats", { keyPath: "id" });
        const turns = db.createObjectStore("turns", { keyPath: "id" });
        turns.createIndex("chat", "chat");
        turns.createIndex("open", "open");
        db.createObjectStore("receipts", { keyPath: "id" });
        db.createObjectStore("keys");
      }
      if (before < 2) {
        db.createObjectStore("changes");
        db.createObjectStore("copies", { keyPath: "id" }).createIndex("chat", "chat");
        db.createObjectStore("sealing");
      }
    },
    // Another tab wants a newer layout: let it.
    blocking: () => void database().then((db) => db?.close()),
  }).catch(() => undefined);
  return opened;
}

/** Removes everything that was ever kept, keys included. */
export async function eraseAll(): Promise<void> {
  const db = await database();
  if (db === undefined) return;
  const stores = ["chats", "turns", "receipts", "keys", "changes", "copies", "sealing"] as const;
  const tx = db.transaction(stores, "readwrite");
  await Promise.all([...stores.map((store) => tx.objectStore(store).clear()), tx.done]);
}
