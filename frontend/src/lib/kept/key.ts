// The key that chats are sealed with: made in this browser, kept by it, and shown to whoever wants to take it along.
import { database } from "../store/db.ts";

const PREFIX = "assay-chat-key-1:";
const NAME = "chats";
const ALGORITHM = { name: "AES-GCM", length: 256 };
const USES: KeyUsage[] = ["encrypt", "decrypt"];

export function makeKey(): Promise<CryptoKey> {
  return crypto.subtle.generateKey(ALGORITHM, true, USES);
}

/** The key as a line of text: 32 bytes in base64url behind a word that says what they are. */
export async function keyText(key: CryptoKey): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.exportKey("raw", key));
  return PREFIX + base64url(bytes);
}

/** Nothing for what is no such line; line breaks and spaces of a pasted one do not matter. */
export async function readKey(text: string): Promise<CryptoKey | undefined> {
  const line = text.replace(/\s+/g, "");
  if (!line.startsWith(PREFIX)) return undefined;
  const spelled = line.slice(PREFIX.length);
  if (!/^[A-Za-z0-9_-]{43}$/.test(spelled)) return undefined;
  const bytes = Uint8Array.from(atob(spelled.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  // The last letter has two bits more than the bytes: only one spelling of a key is one.
  if (base64url(bytes) !== spelled) return undefined;
  return crypto.subtle.importKey("raw", bytes, ALGORITHM, true, USES);
}

export async function storedKey(): Promise<CryptoKey | undefined> {
  return (await database())?.get("sealing", NAME);
}

export async function storeKey(key: CryptoKey): Promise<void> {
  await (await database())?.put("sealing", key, NAME);
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
