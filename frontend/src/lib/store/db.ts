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

interface Schema extends DBSchema {
  chats: { key: string; value: Chat };
  turns: { key: string; value: Turn; indexes: { chat: string; open: number } };
  receipts: { key: string; value: KeptReceipt };
  keys: { key: string; value: CryptoKeyPair };
}

const NAME = "assay";
let opened: Promise<IDBPDatabase<Schema> | undefined> | undefined;

/** `undefined` where the browser has no database for us, as in some private windows. */
export function database(): Promise<IDBPDatabase<Schema> | undefined> {
  opened ??= openDB<Schema>(NAME, 1, {
    upgrade(db) {
      db.createObjectStore("chats", { keyPath: "id" });
      const turns = db.createObjectStore("turns", { keyPath: "id" });
      turns.createIndex("chat", "chat");
      turns.createIndex("open", "open");
      db.createObjectStore("receipts", { keyPath: "id" });
      db.createObjectStore("keys");
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
  const stores = ["chats", "turns", "receipts", "keys"] as const;
  const tx = db.transaction(stores, "readwrite");
  await Promise.all([...stores.map((store) => tx.objectStore(store).clear()), tx.done]);
}
