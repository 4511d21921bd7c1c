// The hash of a receipt, which covers every field of it, and the root of a result.
import { sha256, utf8 } from "../bytes.ts";
import { opt, tag, type Parameters, type Receipt } from "../ic/types.ts";
import { Hasher } from "./hasher.ts";
import { addAssurance, addParameters } from "./request.ts";

export function receiptHash(receipt: Receipt): Promise<Uint8Array> {
  const hasher = new Hasher("assay-receipt-1")
    .bytes(receipt.canister.toUint8Array())
    .u64(receipt.job)
    .bytes(receipt.request_hash)
    .bytes(receipt.model)
    .bytes(receipt.model_root)
    .bytes(receipt.class)
    .option(opt(receipt.seed));
  addAssurance(hasher, receipt.assurance);
  const verdict = opt(receipt.verdict);
  hasher.text(tag(receipt.state).toLowerCase()).text(verdict === undefined ? "none" : tag(verdict).toLowerCase());
  const result = opt(receipt.result);
  if (result === undefined) hasher.text("no result");
  else {
    hasher
      .text("result")
      .bytes(result.root)
      .bytes(result.answer_sha256)
      .bytes(result.trace_root)
      .text(tag(result.finish).toLowerCase())
      .u64(result.usage.input_tokens)
      .u64(result.usage.output_tokens);
  }
  hasher.u64(receipt.leases.length);
  for (const lease of receipt.leases) {
    hasher
      .u64(lease.lease)
      .u64(lease.round)
      .text(tag(lease.role).toLowerCase())
      .bytes(lease.worker.toUint8Array())
      .bytes(lease.provider.toUint8Array())
      .text(tag(lease.state).toLowerCase())
      .bytes(opt(lease.root) ?? new Uint8Array())
      .u128(lease.paid)
      .u128(lease.forfeited)
      .u128(lease.bonus);
  }
  return hasher
    .u128(receipt.escrow)
    .u128(receipt.fee)
    .u128(receipt.royalty)
    .u128(receipt.refund)
    .u128(receipt.subsidy)
    .u64(receipt.submitted_at)
    .u64(receipt.ended_at)
    .finish();
}

/** What a run gave. */
export interface Outcome {
  input: ArrayLike<number>;
  output: ArrayLike<number>;
  text: string;
  finish: "stop" | "length";
  traceRoot: Uint8Array;
}

/** The result root: equal roots mean equal model, input, parameters, answer and trace. Answers with log-probabilities are not covered. */
export async function resultRoot(
  semantics: string,
  modelRoot: Uint8Array,
  parameters: Parameters,
  seed: bigint,
  { input, output, text, finish, traceRoot }: Outcome,
): Promise<Uint8Array> {
  const hasher = new Hasher("assay-result-1").text(semantics).bytes(modelRoot).tokens(input);
  addParameters(hasher, parameters);
  return hasher
    .u64(seed)
    .tokens(output)
    .bytes(await sha256(utf8(text)))
    .text(finish)
    .u64(input.length)
    .u64(output.length)
    .bytes(traceRoot)
    .finish();
}
