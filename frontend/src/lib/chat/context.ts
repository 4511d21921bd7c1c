// What of a conversation a model is given: the system prompt, and as many of the latest turns as fit.
import { utf8 } from "../bytes.ts";
import { MESSAGES_MAX, REQUEST_BYTES_MAX, TEMPLATE_TOKENS, TEMPLATE_TOKENS_PER_MESSAGE } from "../limits.ts";
import type { Turn } from "./types.ts";

export interface Said {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface Context {
  messages: Said[];
  /** Turns that did not fit. */
  left: number;
  /** Whether even the last question alone is too long. */
  tooLong: boolean;
}

/** The market counts a token for each byte and some for the template, because only a worker can tell the real number. */
export function tokensAtWorst(messages: Said[]): number {
  const bytes = messages.reduce((sum, { content }) => sum + utf8(content).length, 0);
  return bytes + messages.length * TEMPLATE_TOKENS_PER_MESSAGE + TEMPLATE_TOKENS;
}

/** `turns` is the path up to and including the question. */
export function context(turns: Turn[], system: string, contextMax: number, maxTokens: number): Context {
  const said: Said[] = [];
  for (const { role, text } of turns) {
    if (text.trim() === "") continue;
    // A question whose answer failed is followed by another question: the model sees one.
    if (said.at(-1)?.role === role) said.pop();
    said.push({ role, content: text });
  }
  const first: Said[] = system.trim() === "" ? [] : [{ role: "system", content: system.trim() }];
  const fits = (messages: Said[]): boolean =>
    messages.length <= MESSAGES_MAX &&
    messages.reduce((sum, { content }) => sum + utf8(content).length, 0) <= REQUEST_BYTES_MAX &&
    tokensAtWorst(messages) + maxTokens <= contextMax;
  let from = 0;
  // A conversation begins with a question.
  while (from < said.length - 1 && (said[from]?.role !== "user" || !fits([...first, ...said.slice(from)]))) from++;
  const messages = [...first, ...said.slice(from)];
  return { messages, left: from, tooLong: !fits(messages) };
}
