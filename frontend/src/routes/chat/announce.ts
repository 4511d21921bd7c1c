// What a screen reader is told about an answer: its steps, and its text when it is whole.
import type { Reply } from "../../lib/chat/types.ts";
import type { Catalogue } from "../../lib/i18n/types.ts";

export function announce(reply: Reply, m: Catalogue["chat"]): string {
  if (reply.phase === "failed") return m.said.failed;
  if (reply.stopped) return m.said.stopped;
  if (reply.phase !== "ended") return reply.text === "" ? m.phase[reply.phase] : m.said.writing;
  const verdict = reply.ending === undefined ? "" : m.said.outcome[reply.ending.outcome];
  return `${reply.text} ${verdict}`;
}
