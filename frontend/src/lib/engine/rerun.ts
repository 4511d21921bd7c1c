// An answer of a receipt made again on this device, and compared to the bit.
import { equal, hex, unhex } from "../bytes.ts";
import type { Reply, Rerun } from "../chat/types.ts";
import { opt, type CertifiedReceipt, type JobRequest, type Model, type Receipt } from "../ic/types.ts";
import { resultRoot } from "../proof/receipt.ts";
import { device } from "./device.svelte.ts";
import { engineJob, messagesOf } from "./job.ts";

/** What was certified, as far as a run is compared with it. */
export interface Certified {
  request: JobRequest;
  seed: bigint;
  root: Uint8Array;
}

export function certifiedOf({ receipt, request }: CertifiedReceipt): Certified | undefined {
  const result = opt((receipt as Receipt).result);
  const seed = opt(receipt.seed);
  const asked = opt(request)?.request;
  if (result === undefined || seed === undefined || asked === undefined) return undefined;
  return { request: asked, seed, root: Uint8Array.from(result.root) };
}

type Tell = (share: number) => void;

/**
 * With the tokens of the answer they are read once, which is quick and finds the first that differs; without them the answer is
 * generated anew.
 */
export async function rerun(model: Model, certified: Certified, tokens: Reply["tokens"], signal: AbortSignal, tell: Tell): Promise<Rerun> {
  const began = performance.now();
  const { client, opened } = await device.engine(model);
  const input = await client.tokens(messagesOf(certified.request));
  const job = engineJob(certified.request, input, certified.seed);
  let transcript;
  if (tokens === undefined) {
    const max = job.max_tokens;
    transcript = await client.generate(job, { signal, onHeard: ({ tokens: done }) => tell(done / max) });
  } else {
    const output = [...tokens.output];
    const ended = output.length >= job.max_tokens ? "length" : "stop";
    const checked = await client.check(job, { output, finish: ended }, { signal, onProgress: ({ done, total }) => tell(done / total) });
    if ("mismatch" in checked) {
      const { position, expected } = checked.mismatch;
      const found = output[position];
      return {
        kind: "differs",
        at: Date.now(),
        position,
        what: found === undefined || expected === null ? "end" : "token",
        ...(expected === null ? {} : { expected }),
        ...(found === undefined ? {} : { found }),
      };
    }
    ({ transcript } = checked.match);
  }
  const root = await resultRoot(opened.spec, Uint8Array.from(model.manifest.model_root), certified.request.parameters, certified.seed, {
    input,
    output: transcript.output,
    text: transcript.text ?? "",
    finish: transcript.finish,
    traceRoot: unhex(transcript.trace_root) ?? new Uint8Array(),
  });
  if (!equal(root, certified.root)) return { kind: "differs", at: Date.now(), position: transcript.output.length, what: "root" };
  return { kind: "same", at: Date.now(), root: hex(root), ms: Math.round(performance.now() - began) };
}
