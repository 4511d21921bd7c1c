// Short messages at the edge of the page, each perhaps with one thing to do.
import { TOASTS_MAX } from "./limits.ts";

export interface Toast {
  id: number;
  text: string;
  kind: "info" | "error";
  action?: { label: string; run: () => void };
}

let next = 0;
export const toasts: Toast[] = $state([]);

export function toast(text: string, options: { kind?: Toast["kind"]; ms?: number; action?: Toast["action"] } = {}): void {
  const { kind = "info", ms = kind === "error" ? 12_000 : 4_000, action } = options;
  const id = ++next;
  toasts.push({ id, text, kind, ...(action ? { action } : {}) });
  if (toasts.length > TOASTS_MAX) toasts.shift();
  setTimeout(() => dismiss(id), ms);
}

export function dismiss(id: number): void {
  const at = toasts.findIndex((entry) => entry.id === id);
  if (at >= 0) toasts.splice(at, 1);
}
