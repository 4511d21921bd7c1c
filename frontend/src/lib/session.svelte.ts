// Who is here, for the page to show. The keys themselves are in `ic/`, which is loaded when it is needed.

interface Session {
  /** Textual principal; empty until it is known. */
  principal: string;
  kind: "guest" | "internet identity";
  /** Whether the key outlasts this visit. */
  kept: boolean;
  online: boolean;
}

export const session: Session = $state({
  principal: "",
  kind: "guest",
  kept: true,
  online: globalThis.navigator?.onLine ?? true,
});

export function watchConnection(): void {
  addEventListener("online", () => (session.online = true));
  addEventListener("offline", () => (session.online = false));
}
