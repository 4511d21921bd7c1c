// The guest's key: made in this browser, kept by it, and never readable, not even by this page.
import { ECDSAKeyIdentity } from "@icp-sdk/core/identity";
import { database } from "../store/db.ts";

const NAME = "guest";
let made: Promise<ECDSAKeyIdentity> | undefined;

/** The same key at every visit, where the browser lets us keep it. */
export function guest(): Promise<ECDSAKeyIdentity> {
  made ??= load();
  return made;
}

/** Whether the key outlasts this visit. */
export async function guestIsKept(): Promise<boolean> {
  await guest();
  return (await (await database())?.getKey("keys", NAME)) !== undefined;
}

/** Asks the browser not to clear what lies here when space gets scarce. */
export async function persist(): Promise<boolean> {
  try {
    return (await navigator.storage.persisted()) || (await navigator.storage.persist());
  } catch {
    return false;
  }
}

async function load(): Promise<ECDSAKeyIdentity> {
  const db = await database();
  const kept = await db?.get("keys", NAME).catch(() => undefined);
  if (kept !== undefined) return ECDSAKeyIdentity.fromKeyPair(kept);
  const fresh = await ECDSAKeyIdentity.generate({ extractable: false });
  try {
    // Another tab may have been faster; then its key is the guest's.
    await db?.add("keys", fresh.getKeyPair(), NAME);
  } catch {
    const other = await db?.get("keys", NAME).catch(() => undefined);
    if (other !== undefined) return ECDSAKeyIdentity.fromKeyPair(other);
  }
  return fresh;
}
