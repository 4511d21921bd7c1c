// An answer made on this device: the same request, the same engine, the same bytes as on the network.
import { hex, random, unhex } from "../bytes.ts";
import type { Manner } from "../chat/answers.svelte.ts";
import { context } from "../chat/context.ts";
import { jobRequest } from "../chat/request.ts";
import type { Reply, Trouble, Turn } from "../chat/types.ts";
import { offers } from "../market/offers.svelte.ts";
import { resultRoot } from "../proof/receipt.ts";
import { device } from "./device.svelte.ts";
import { engineJob } from "./job.ts";

export async function answerHere(reply: Reply, turns: Turn[], how: Manner, signal: AbortSignal, save: () => Promise<void>): Promise<void> {
  const began = performance.now();
  try {
    if (offers.models.length === 0) await offers.load();
    const offered = offers.pick(how.model);
    if (offered === undefined) throw new Error("no model is known; the network could not be asked");
    const { model } = offered;
    const { messages, left, tooLong } = context(turns, how.drawing.system, model.manifest.context_max, how.drawing.maxTokens);
    if (tooLong) throw new Error("the question is too long for this model");
    const seed = how.drawing.seed === "" ? new DataView(random(8).buffer).getBigUint64(0) : BigInt(how.drawing.seed);
    const request = jobRequest(offered.name, messages, { ...how.drawing, seed: seed.toString() }, how.sureness);
    reply.model = offered.name;
    reply.left = left;
    // Kept as for the network, so that the network can be asked the same.
    reply.args = { request, price_cap: 0n, deadline_seconds: 0, idempotency_key: new Uint8Array() };
    reply.phase = "queued";
    await save();
    const { client, opened } = await device.engine(model);
    reply.phase = "running";
    const input = await client.tokens(messages);
    const transcript = await client.generate(engineJob(request, input, seed), {
      signal,
      onHeard: ({ text }) => {
        reply.firstMs ??= Math.round(performance.now() - began);
        reply.text = text;
      },
    });
    const traceRoot = unhex(transcript.trace_root) ?? new Uint8Array();
    reply.text = transcript.text ?? "";
    reply.tokens = { input: Uint32Array.from(input), output: Uint32Array.from(transcript.output), traceRoot };
    const outcome = { input, output: transcript.output, text: reply.text, finish: transcript.finish, traceRoot };
    reply.root = hex(await resultRoot(opened.spec, Uint8Array.from(model.manifest.model_root), request.parameters, seed, outcome));
    reply.ending = {
      outcome: "unverified",
      reason: "",
      finish: transcript.finish,
      inputTokens: input.length,
      outputTokens: transcript.output.length,
      escrow: 0n,
      sponsored: 0n,
      paid: 0n,
      fee: 0n,
      refund: 0n,
    };
    reply.phase = "ended";
  } catch (error) {
    if (signal.aborted || (error instanceof Error && error.name === "AbortError")) reply.phase = "ended";
    else {
      reply.phase = "failed";
      reply.trouble = deviceTrouble(error);
    }
  }
  reply.endMs = Math.round(performance.now() - began);
  reply.open = 0;
  await save();
}

export function deviceTrouble(error: unknown): Trouble {
  const message = error instanceof Error ? error.message : String(error);
  const name = /not on this device/.test(message) ? "NoWeights" : /memory|allocation/i.test(message) ? "Memory" : "Engine";
  return { area: "device", name, detail: { message: message.slice(0, 500) } };
}
