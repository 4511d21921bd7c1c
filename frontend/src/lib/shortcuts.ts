// Keys, in one table: the dialog that lists them and the listener read the same one.

export type Action = "search" | "newChat" | "sidebar" | "focus" | "copyAnswer" | "copyCode" | "help";

interface Keys {
  /** Ctrl, or Command on a Mac. */
  mod: boolean;
  shift: boolean;
  key: string;
}

export const SHORTCUTS: Record<Action, Keys> = {
  search: { mod: true, shift: false, key: "k" },
  newChat: { mod: true, shift: true, key: "o" },
  sidebar: { mod: true, shift: false, key: "b" },
  focus: { mod: false, shift: true, key: "escape" },
  copyAnswer: { mod: true, shift: true, key: "c" },
  copyCode: { mod: true, shift: true, key: ";" },
  help: { mod: true, shift: false, key: "/" },
};

const isMac = /mac|iphone|ipad/i.test(globalThis.navigator?.userAgent ?? "");

/** What a person presses, for reading. */
export function spelled(action: Action): string[] {
  const { mod, shift, key } = SHORTCUTS[action];
  const name = key === "escape" ? "Esc" : key.toUpperCase();
  return [...(mod ? [isMac ? "⌘" : "Ctrl"] : []), ...(shift ? [isMac ? "⇧" : "Shift"] : []), name];
}

export function pressed(event: KeyboardEvent): Action | undefined {
  if (event.isComposing || event.altKey) return undefined;
  const mod = isMac ? event.metaKey : event.ctrlKey;
  const key = event.key.toLowerCase();
  const found = Object.entries(SHORTCUTS).find(([, keys]) => {
    // With Shift, the key beside L gives a colon on many keyboards, and the slash needs Shift on some.
    const same = keys.key === key || (keys.key === ";" && key === ":");
    return same && keys.mod === mod && (keys.shift === event.shiftKey || keys.key === "/");
  });
  return found?.[0] as Action | undefined;
}

type Handler = () => void;
const handlers = new Map<Action, Handler>();

/** Lets an action be done as long as whoever does it is there. */
export function onAction(action: Action, handler: Handler): () => void {
  handlers.set(action, handler);
  return () => {
    if (handlers.get(action) === handler) handlers.delete(action);
  };
}

export function listen(): void {
  addEventListener("keydown", (event) => {
    const action = pressed(event);
    const handler = action === undefined ? undefined : handlers.get(action);
    if (handler === undefined) return;
    event.preventDefault();
    handler();
  });
}
