// A job and, once it has ended, its certified receipt.
import { Principal } from "@icp-sdk/core/principal";
import { env, jobs, me, ownerOf } from "../../lib/ic/connection.ts";
import { ok } from "../../lib/ic/errors.ts";
import { tag, type JobView } from "../../lib/ic/types.ts";
import { NotProven } from "../../lib/proof/certificate.ts";
import type { ReceiptFile } from "../../lib/proof/file.ts";
import { verify, type Proof } from "../../lib/proof/verify.ts";

export interface JobPage {
  view: JobView;
  ended: boolean;
  file?: ReceiptFile;
  proof?: Proof;
  problem?: NotProven;
}

const OPEN = ["Queued", "Running", "Revealing", "Extended"];

export async function readJob(canister: string, id: string): Promise<JobPage> {
  const shard = Principal.fromText(canister);
  const open = ok("job", await (await jobs(shard)).job(BigInt(id)));
  // Who asked sees the answer, too.
  const identity = (await ownerOf(open.requester.toText())) ?? (await me());
  const actor = await jobs(shard, identity);
  const view = ok("job", await actor.job(BigInt(id)));
  if (OPEN.includes(tag(view.state))) return { view, ended: false };
  try {
    const certified = ok("job", await actor.receipt(BigInt(id)));
    const file: ReceiptFile = { network: location.origin, rootKey: env().rootKey, certified };
    try {
      return { view, ended: true, file, proof: await verify(certified, env().rootKey, false) };
    } catch (error) {
      if (error instanceof NotProven) return { view, ended: true, file, problem: error };
      throw error;
    }
  } catch {
    return { view, ended: true };
  }
}
