// What a receipt in a file proves of the answer beside it. The file's own word about that counts for nothing.
import { equal, hex, sha256, utf8 } from "../bytes.ts";
import { env } from "../ic/connection.ts";
import { opt, tag } from "../ic/types.ts";
import { NotProven } from "../proof/certificate.ts";
import { decodeReceipt } from "../proof/file.ts";
import { verify } from "../proof/verify.ts";
import type { KeptReceipt } from "../store/db.ts";
import type { ProofState, Reply } from "./types.ts";

export async function proofOf(reply: Reply, kept: KeptReceipt | undefined): Promise<ProofState> {
  if (reply.proof.kind !== "proven" || kept === undefined) return { kind: "none" };
  try {
    const certified = decodeReceipt(kept.bytes);
    const proof = await verify(certified, env().rootKey, true);
    const { receipt } = certified;
    const differs = (what: string) => new NotProven("answer", `the receipt names another ${what} than the file`);
    if (receipt.job.toString() !== reply.job || receipt.canister.toText() !== reply.shard) throw differs("job");
    const verdict = opt(receipt.verdict);
    if ((verdict === undefined ? tag(receipt.state) : tag(verdict)).toLowerCase() !== reply.ending?.outcome) throw differs("verdict");
    const result = opt(receipt.result);
    const found = await sha256(utf8(reply.whole ?? reply.text));
    if (result !== undefined && !equal(Uint8Array.from(result.answer_sha256), found)) throw differs("answer");
    if (result !== undefined && hex(Uint8Array.from(result.root)) !== reply.root) throw differs("result root");
    return { kind: "proven", hash: proof.hash, signedAt: proof.signedAt, checkedAt: Date.now() };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { kind: "refused", step: error instanceof NotProven ? error.step : "file", message: message.slice(0, 500) };
  }
}
