// Everything that a receipt must withstand, as `assay receipt verify` checks it.
import { equal, hex } from "../bytes.ts";
import { opt, type CertifiedReceipt, type Receipt } from "../ic/types.ts";
import { NotProven, certifiedTree, leaf } from "./certificate.ts";
import { receiptHash } from "./receipt.ts";
import { requestHash } from "./request.ts";

/** What a proven receipt rests on. */
export interface Proof {
  /** The network's time when the certificate was signed, in milliseconds. */
  signedAt: number;
  /** The certified hash of the receipt. */
  hash: string;
  /** Whether the request came along and is the one that was asked. */
  request: boolean;
}

/**
 * Checks signatures from the root key down, the canister's certified data, the path to the receipt, every field of it, the request
 * if it is there, and that the amounts add up. An archived receipt may be of any age; another one must be fresh.
 */
export async function verify(certified: CertifiedReceipt, rootKey: Uint8Array, archived: boolean): Promise<Proof> {
  const { receipt } = certified;
  const { tree, signedAt } = await certifiedTree(certified, receipt.canister, rootKey, archived);
  const found = await receiptHash(receipt);
  const stated = leaf(tree, ["receipts", bigEndian(receipt.job)]);
  if (stated === undefined) throw new NotProven("job", `the witness says nothing about job ${receipt.job}`);
  if (!equal(found, stated)) {
    throw new NotProven("hash", `its hash is ${hex(found)}, the canister certifies ${hex(stated)}; a field was changed`);
  }
  const salted = opt(certified.request);
  if (salted !== undefined && !equal(await requestHash(salted.request, Uint8Array.from(salted.salt)), receipt.request_hash)) {
    throw new NotProven("request", "with its salt the request has another hash than the receipt says; it was changed");
  }
  checkAmounts(receipt);
  return { signedAt, hash: hex(found), request: salted !== undefined };
}

export function checkAmounts({ leases, escrow, fee, royalty, refund, subsidy }: Receipt): void {
  const held = escrow + subsidy;
  const spent = leases.reduce((sum, lease) => sum + lease.paid, fee + royalty + refund);
  if (held !== spent) throw new NotProven("amounts", `${held} cycles were held and added, ${spent} are accounted for`);
}

function bigEndian(job: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, job);
  return bytes;
}
