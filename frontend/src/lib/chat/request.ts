// A question as the market takes it.
import type { Drawing, Sureness } from "../prefs.svelte.ts";
import type { Assurance, JobRequest, Parameters } from "../ic/types.ts";
import type { Said } from "./context.ts";

export function assurance(sureness: Sureness): Assurance {
  if (sureness.kind === "single") return { Single: null };
  if (sureness.kind === "checked") return { Checked: { checkers: sureness.checkers } };
  return { Equality: { total: sureness.total } };
}

export function parameters(drawing: Drawing): Parameters {
  return {
    max_tokens: drawing.maxTokens,
    sampling: {
      temperature_milli: drawing.temperatureMilli,
      top_p_ppm: drawing.topPPpm,
      top_k: drawing.topK,
      min_p_ppm: [],
      repetition_penalty_milli: [],
      repetition_window: [],
      presence_penalty_milli: [],
      frequency_penalty_milli: [],
      logit_bias: [],
    },
    stop: [],
    format: [],
    logprobs: [],
  };
}

const ROLES = { system: { System: null }, user: { User: null }, assistant: { Assistant: null } } as const;

export function jobRequest(model: string, messages: Said[], drawing: Drawing, sureness: Sureness): JobRequest {
  return {
    model: { Name: model },
    task: {
      Chat: {
        messages: messages.map(({ role, content }) => ({ role: ROLES[role], content, tool_calls: [], tool_call_id: [] })),
        tools: [],
      },
    },
    parameters: parameters(drawing),
    seed: drawing.seed === "" ? [] : [BigInt(drawing.seed)],
    assurance: assurance(sureness),
  };
}
