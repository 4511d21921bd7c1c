// A chat sealed for a canister that must not read it: AES-GCM with 256 bits over packed text.
//
//   byte 0          version
//   bytes 1 to 12   initialisation vector, fresh for each sealing
//   the rest        gzip of the text, encrypted, with its tag
//
// Version, canister, account and name go into the tag as additional data: a sealed chat opens in its own place only.
import { join, random, sha256, unhex, utf8 } from "../bytes.ts";
import { IMPORT_FILE_BYTES_MAX } from "../limits.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const VERSION = 1;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const NAME_BYTES = 16;

/** Where a sealed chat belongs. */
export interface Place {
  canister: Uint8Array;
  owner: Uint8Array;
  /** The chat's name there. */
  name: Uint8Array;
}

/** The name of a chat in the canister: the bytes of its id where that is a UUID, else the first bytes of the id's hash. */
export async function nameOf(id: string): Promise<Uint8Array> {
  const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) ? unhex(id.replaceAll("-", "")) : undefined;
  return uuid ?? (await sha256(utf8(id))).slice(0, NAME_BYTES);
}

export async function seal(key: CryptoKey, place: Place, text: string): Promise<Uint8Array> {
  const packed = await through(new CompressionStream("gzip"), utf8(text), Infinity);
  const iv = random(IV_BYTES);
  const hidden = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: bound(place) }, key, packed);
  return join([Uint8Array.of(VERSION), iv, new Uint8Array(hidden)]);
}

/**
 * The text; nothing where this key, this place or this version is not the one that it was sealed with, or a byte has changed, or
 * the text is longer than `most` bytes.
 */
export async function open(key: CryptoKey, place: Place, sealed: Uint8Array, most = IMPORT_FILE_BYTES_MAX): Promise<string | undefined> {
  if (sealed[0] !== VERSION || sealed.length < 1 + IV_BYTES + TAG_BYTES) return undefined;
  const bytes = Uint8Array.from(sealed);
  const iv = bytes.slice(1, 1 + IV_BYTES);
  try {
    const packed = await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData: bound(place) }, key, bytes.slice(1 + IV_BYTES));
    return new TextDecoder().decode(await through(new DecompressionStream("gzip"), new Uint8Array(packed), most));
  } catch {
    return undefined;
  }
}

/** Lengths stand before what has no fixed one, so that no two places read the same. */
function bound({ canister, owner, name }: Place): Bytes {
  return join([Uint8Array.of(VERSION, canister.length), canister, Uint8Array.of(owner.length), owner, name]);
}

async function through(stream: CompressionStream | DecompressionStream, bytes: Bytes, most: number): Promise<Bytes> {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const parts: Uint8Array[] = [];
  for (let length = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return join(parts);
    length += value.length;
    if (length > most) throw new RangeError(`more than ${most} bytes when unpacked`);
    parts.push(value);
  }
}
