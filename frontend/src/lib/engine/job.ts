// A request of the market as a job of the engine in this page.
import type { Job } from "$engine/engine.js";
import { opt, tag, type JobRequest } from "../ic/types.ts";

/** Why a request cannot be run by this page: what the engine's browser build does not take. */
export function notHere(request: JobRequest): "task" | "tools" | "penalties" | "format" | "logprobs" | undefined {
  if (!("Chat" in request.task)) return "task";
  const { messages, tools } = request.task.Chat;
  const plain = messages.every(({ role, tool_calls }) => tag(role) !== "Tool" && (opt(tool_calls) ?? []).length === 0);
  if (!plain || (opt(tools) ?? []).length > 0) return "tools";
  const { sampling, format, logprobs } = request.parameters;
  const neutral =
    (opt(sampling.repetition_penalty_milli) ?? 1_000) === 1_000 &&
    (opt(sampling.presence_penalty_milli) ?? 0) === 0 &&
    (opt(sampling.frequency_penalty_milli) ?? 0) === 0 &&
    (opt(sampling.logit_bias) ?? []).length === 0;
  if (!neutral) return "penalties";
  const wanted = opt(format);
  if (wanted !== undefined && !("Text" in wanted)) return "format";
  return opt(logprobs) === undefined ? undefined : "logprobs";
}

export function messagesOf(request: JobRequest): { role: string; content: string }[] {
  if (!("Chat" in request.task)) return [];
  return request.task.Chat.messages.map(({ role, content }) => ({ role: tag(role).toLowerCase(), content }));
}

export function engineJob(request: JobRequest, input: number[], seed: bigint): Job {
  const { sampling, max_tokens, stop } = request.parameters;
  return {
    input,
    max_tokens,
    sampling: {
      temperature_milli: sampling.temperature_milli,
      top_p_ppm: sampling.top_p_ppm,
      top_k: sampling.top_k,
      min_p_ppm: opt(sampling.min_p_ppm) ?? 0,
      seed: seed.toString(),
    },
    stop: opt(stop) ?? [],
  };
}
