// Receipt files: the same that `assay receipt export` writes and `assay receipt verify` reads.
import { IDL } from "@icp-sdk/core/candid";
import { idlFactory } from "../../bindings/declarations/jobs.did.ts";
import { hex, unhex } from "../bytes.ts";
import type { CertifiedReceipt } from "../ic/types.ts";
import { RECEIPT_FILE_BYTES_MAX } from "../limits.ts";
import { NotProven } from "./certificate.ts";

const FORMAT = "assay-receipt-1";

export interface ReceiptFile {
  /** Where it comes from; for people. */
  network: string;
  /** The network's root key as whoever saved it knew it, DER. */
  rootKey: Uint8Array;
  certified: CertifiedReceipt;
}

/** The Candid type of a certified receipt, out of the interface itself. */
function receiptType(): IDL.Type {
  const [, receipt] = idlFactory({ IDL })._fields.find(([name]) => name === "receipt") ?? [];
  const answer = receipt?.retTypes[0];
  const ok = answer instanceof IDL.VariantClass ? answer._fields.find(([name]) => name === "Ok")?.[1] : undefined;
  if (ok === undefined) throw new Error("BUG: the interface has no receipt");
  return ok;
}

export function encodeReceipt(certified: CertifiedReceipt): Uint8Array {
  return IDL.encode([receiptType()], [certified]);
}

export function decodeReceipt(bytes: Uint8Array): CertifiedReceipt {
  return IDL.decode([receiptType()], bytes)[0] as unknown as CertifiedReceipt;
}

export function writeFile({ network, rootKey, certified }: ReceiptFile): string {
  const json = {
    format: FORMAT,
    network,
    root_key: hex(rootKey),
    certified_receipt: hex(encodeReceipt(certified)),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

/** Nothing in the file is trusted yet. */
export function readFile(text: string): ReceiptFile {
  if (text.length > RECEIPT_FILE_BYTES_MAX) throw new NotProven("file", `longer than ${RECEIPT_FILE_BYTES_MAX} bytes, so not a receipt`);
  const refuse = (problem: string) => new NotProven("file", problem);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw refuse("it is not a receipt file: not JSON");
  }
  const given = (typeof json === "object" && json !== null ? json : {}) as Record<string, unknown>;
  if (given["format"] !== FORMAT) throw refuse(`it has the format ${JSON.stringify(given["format"])}, this page reads "${FORMAT}"`);
  const unhexed = (field: string): Uint8Array => {
    const bytes = typeof given[field] === "string" ? unhex(given[field]) : undefined;
    if (bytes === undefined) throw refuse(`${field} is not hexadecimal`);
    return bytes;
  };
  const bytes = unhexed("certified_receipt");
  let certified: CertifiedReceipt;
  try {
    certified = decodeReceipt(bytes);
  } catch {
    throw refuse("certified_receipt cannot be decoded");
  }
  return { network: String(given["network"] ?? ""), rootKey: unhexed("root_key"), certified };
}
