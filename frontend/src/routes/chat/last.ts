import type { Reply, Turn } from "../../lib/chat/types.ts";

export function lastReply(turns: Turn[]): Reply | undefined {
  return turns.findLast((turn): turn is Reply => turn.role === "assistant" && turn.text !== "");
}

/** The last fenced block of code in the conversation. */
export function lastCode(turns: Turn[]): string | undefined {
  const text = turns.findLast(({ text }) => text.includes("```"))?.text ?? "";
  return [...text.matchAll(/```[^\n]*\n([\s\S]*?)(?:```|$)/g)].at(-1)?.[1];
}
