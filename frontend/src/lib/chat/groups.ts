// Chats by when they were last used.
import type { Chat } from "./types.ts";

export type GroupName = "pinned" | "today" | "yesterday" | "week" | "month" | "older";

const DAY = 86_400_000;

export function groups(list: Chat[], now: number): { name: GroupName; list: Chat[] }[] {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  const nameOf = ({ pinned, updated }: Chat): GroupName => {
    if (pinned) return "pinned";
    if (updated >= midnight) return "today";
    if (updated >= midnight - DAY) return "yesterday";
    if (updated >= midnight - 7 * DAY) return "week";
    return updated >= midnight - 30 * DAY ? "month" : "older";
  };
  const found: { name: GroupName; list: Chat[] }[] = [];
  for (const chat of list) {
    const name = nameOf(chat);
    const group = found.find((other) => other.name === name);
    if (group === undefined) found.push({ name, list: [chat] });
    else group.list.push(chat);
  }
  return found;
}
