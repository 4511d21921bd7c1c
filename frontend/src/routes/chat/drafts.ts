// What was typed and not sent, for each chat; that of a new chat has no chat to lie in.
import { chats } from "../../lib/chat/chats.svelte.ts";

let fresh = "";
const timers = new Map<string, ReturnType<typeof setTimeout>>();

export const drafts = {
  read(chat: string): string {
    return chat === "" ? fresh : (chats.chat(chat)?.draft ?? "");
  },

  write(id: string, text: string): void {
    if (id === "") {
      fresh = text;
      return;
    }
    const chat = chats.chat(id);
    if (chat === undefined || chat.draft === text) return;
    chat.draft = text;
    clearTimeout(timers.get(id));
    timers.set(
      id,
      setTimeout(() => void chats.saveDraft(chat), 400),
    );
  },
};
