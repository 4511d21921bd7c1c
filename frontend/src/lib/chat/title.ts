import { TITLE_CHARS_MAX } from "../limits.ts";

/** A title from the first question: its first line, cut at a word. */
export function titleOf(question: string): string {
  const line = (question.trim().split("\n")[0] ?? "").replace(/[#*_`>~]+/g, "").replace(/\s+/g, " ").trim();
  const chars = [...line];
  if (chars.length <= TITLE_CHARS_MAX / 2) return line;
  const cut = chars.slice(0, TITLE_CHARS_MAX / 2).join("");
  const space = cut.lastIndexOf(" ");
  return `${space > cut.length / 2 ? cut.slice(0, space) : cut}…`;
}
