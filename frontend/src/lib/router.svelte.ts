// Addresses behind the hash: `#/network`, `#/job/<canister>/<number>`. Unknown ones lead to a page that says so.

export type Route =
  | { page: "chat"; chat: string | undefined }
  | { page: "network" }
  | { page: "jobs" }
  | { page: "job"; canister: string; job: string }
  | { page: "models" }
  | { page: "model"; id: string }
  | { page: "worker"; id: string }
  | { page: "hardware" }
  | { page: "provide" }
  | { page: "verify" }
  | { page: "account" }
  | { page: "settings" }
  | { page: "about" }
  | { page: "unknown"; path: string };

export type Page = Route["page"];

const SIMPLE = ["network", "jobs", "models", "hardware", "provide", "verify", "account", "settings", "about"] as const;

export function parse(hash: string): Route {
  const path = hash.replace(/^#?\/?/, "").replace(/\?.*$/, "");
  const [first = "", second, third, ...more] = path.split("/").map(plain);
  if (more.length > 0) return { page: "unknown", path };
  if (first === "" && second === undefined) return { page: "chat", chat: undefined };
  if (first === "chat" && second && third === undefined) return { page: "chat", chat: second };
  if (first === "job" && second && third && /^\d{1,20}$/.test(third)) return { page: "job", canister: second, job: third };
  if (first === "model" && second && third === undefined && /^[0-9a-f]{64}$/.test(second)) return { page: "model", id: second };
  if (first === "worker" && second && third === undefined) return { page: "worker", id: second };
  const simple = SIMPLE.find((page) => page === first);
  if (simple !== undefined && second === undefined) return { page: simple };
  return { page: "unknown", path };
}

function plain(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const links = {
  home: "#/",
  chat: (id: string) => `#/chat/${id}`,
  job: (canister: string, job: bigint | string) => `#/job/${canister}/${job}`,
  model: (id: string) => `#/model/${id}`,
  worker: (id: string) => `#/worker/${id}`,
  to: (page: (typeof SIMPLE)[number]) => `#/${page}`,
};

class Router {
  route: Route = $state.raw(parse(globalThis.location?.hash ?? ""));

  start(): void {
    addEventListener("hashchange", () => (this.route = parse(location.hash)));
  }

  go(hash: string, options: { replace?: boolean } = {}): void {
    if (options.replace) {
      history.replaceState(null, "", hash);
      this.route = parse(hash);
    } else if (location.hash !== hash) location.hash = hash;
  }
}

export const router = new Router();

/** The title of the chat that is shown, for the frame around it. */
export const heading: { chat: string } = $state({ chat: "" });
