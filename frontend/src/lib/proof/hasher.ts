// SHA-256 over a domain and length-prefixed fields: the one way in which the market hashes.
import { join, sha256, utf8 } from "../bytes.ts";

export class Hasher {
  #parts: Uint8Array[] = [];

  constructor(domain: string) {
    this.text(domain);
  }

  /** A field of any length, behind its length as eight little-endian bytes. */
  bytes(field: Uint8Array): this {
    this.#parts.push(little(BigInt(field.length), 8), field);
    return this;
  }

  text(field: string): this {
    return this.bytes(utf8(field));
  }

  u64(field: bigint | number): this {
    return this.bytes(little(BigInt(field), 8));
  }

  /** A signed number as eight little-endian bytes. */
  i64(field: bigint | number): this {
    return this.bytes(little(BigInt.asUintN(64, BigInt(field)), 8));
  }

  u128(field: bigint): this {
    return this.bytes(little(field, 16));
  }

  /** Token ids, four little-endian bytes each, as one field. */
  tokens(field: ArrayLike<number>): this {
    const bytes = new Uint8Array(4 * field.length);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < field.length; at++) view.setUint32(4 * at, field[at] ?? 0, true);
    return this.bytes(bytes);
  }

  /** A number that may be absent, as one field. */
  option(field: bigint | number | undefined): this {
    return this.bytes(field === undefined ? new Uint8Array() : little(BigInt(field), 8));
  }

  finish(): Promise<Uint8Array> {
    return sha256(join(this.#parts));
  }
}

function little(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0, rest = value; at < length; at++, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  return bytes;
}
