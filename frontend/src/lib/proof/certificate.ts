// From the network's root key to what a canister certifies: signature, delegation, canister range, age.
import { Cbor, Certificate, lookupResultToBuffer, lookup_path, reconstruct, type HashTree } from "@icp-sdk/core/agent";
import type { Principal } from "@icp-sdk/core/principal";
import { equal } from "../bytes.ts";
import { CBOR_BYTES_MAX } from "../limits.ts";

export type ProofStep = "certificate" | "clock" | "witness" | "job" | "hash" | "request" | "amounts" | "answer" | "file";

/** Why something is not proven. */
export class NotProven extends Error {
  override name = "NotProven";

  constructor(
    readonly step: ProofStep,
    message: string,
  ) {
    super(message);
  }
}

/** A tree that a canister certifies, and when the subnet signed that, in milliseconds. */
export interface Certified {
  tree: HashTree;
  signedAt: number;
}

export async function certifiedTree(
  given: { certificate: Uint8Array; witness: Uint8Array },
  canister: Principal,
  rootKey: Uint8Array,
  archived: boolean,
): Promise<Certified> {
  for (const bytes of [given.certificate, given.witness]) {
    if (bytes.length > CBOR_BYTES_MAX) throw new NotProven("certificate", `it has ${bytes.length} bytes, at most ${CBOR_BYTES_MAX} are read`);
  }
  const certificate = await Certificate.create({
    certificate: Uint8Array.from(given.certificate),
    rootKey,
    principal: { canisterId: canister },
    disableTimeVerification: archived,
  }).catch((error: unknown) => {
    // A library's words, without its stack.
    const told = ((error instanceof Error ? error.message : String(error)).split(" at ")[0] ?? "").slice(0, 300);
    throw new NotProven(/minutes? in the (past|future)|time/i.test(told) ? "clock" : "certificate", told);
  });
  const data = lookupResultToBuffer(certificate.lookup_path(["canister", canister.toUint8Array(), "certified_data"]));
  let tree: HashTree;
  try {
    tree = Cbor.decode(Uint8Array.from(given.witness));
    if (!equal(data, await reconstruct(tree))) throw new NotProven("witness", "its root is not what the canister certifies");
  } catch (error) {
    if (error instanceof NotProven) throw error;
    throw new NotProven("witness", "it cannot be decoded");
  }
  return { tree, signedAt: time(lookupResultToBuffer(certificate.lookup_path(["time"]))) };
}

export function leaf(tree: HashTree, path: (string | Uint8Array)[]): Uint8Array | undefined {
  return lookupResultToBuffer(lookup_path(path, tree));
}

/** LEB128 nanoseconds as milliseconds. */
function time(bytes: Uint8Array | undefined): number {
  if (bytes === undefined) throw new NotProven("certificate", "it says nothing about the time");
  let nanos = 0n;
  bytes.forEach((byte, at) => (nanos |= BigInt(byte & 0x7f) << BigInt(7 * at)));
  return Number(nanos / 1_000_000n);
}
