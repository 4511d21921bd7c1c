// Development against a market that `assay up` runs: its interface under /api, the cookie that a frontend canister sets,
// the headers of `assets.json`, and model files under /models.
import { createReadStream, existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { type IncomingMessage, type ServerResponse, request } from "node:http";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import type { Connect, Plugin } from "vite";
import { headersFor } from "./headers.ts";

/** What `assay up` leaves word of, as far as it is needed here. */
interface Up {
  url: string;
  root_key: string;
  registry: string;
  jobs: string;
  model: string;
  /** The web app as a canister of the market serves it. */
  page?: { canister: string };
}

const data = process.env["XDG_DATA_HOME"] ?? join(homedir(), ".local/share");
const upFile = join(process.env["ASSAY_HOME"] ?? join(data, "assay"), "up.json");
const cache = process.env["ASSAY_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "assay");

/** Read with every request, so that a market may be started and stopped meanwhile. */
function up(): Up | undefined {
  try {
    return JSON.parse(readFileSync(upFile, "utf8")) as Up;
  } catch {
    return undefined;
  }
}

function cookie({ root_key, registry, jobs, page }: Up): string {
  const variables = [`ic_root_key=${root_key}`, `PUBLIC_CANISTER_ID:registry=${registry}`, `PUBLIC_CANISTER_ID:jobs=${jobs}`];
  if (page !== undefined) variables.push(`PUBLIC_CANISTER_ID:frontend=${page.canister}`);
  const provider = process.env["ASSAY_IDENTITY_PROVIDER"];
  if (provider !== undefined) variables.push(`PUBLIC_IDENTITY_PROVIDER=${provider}`);
  return `ic_env=${encodeURIComponent(variables.join("&"))}; SameSite=Lax; Path=/`;
}

/** The market's model, which the registry calls `<name>.assay`. */
function modelFile(name: string): string | undefined {
  const model = up()?.model;
  if (model === undefined || name !== `${model}.assay`) return undefined;
  const given = process.env["ASSAY_MODEL"];
  if (given !== undefined && basename(given).startsWith(model)) return given;
  const folder = join(cache, "models");
  const found = existsSync(folder) ? readdirSync(folder).find((file) => file.startsWith(model) && file.endsWith(".assay")) : undefined;
  return found === undefined ? undefined : join(folder, found);
}

function forward(from: IncomingMessage, to: ServerResponse): void {
  const target = up();
  const refuse = (problem: string) => {
    if (!to.headersSent) to.writeHead(503, { "content-type": "text/plain" });
    to.end(`${problem}\n`);
  };
  if (target === undefined) return refuse(`no market runs: ${upFile} is not there; start one with: assay up`);
  const { hostname, port } = new URL(target.url);
  const headers = { ...from.headers, host: `${hostname}:${port}` };
  const onward = request({ hostname, port, path: from.url, method: from.method, headers }, (answer) => {
    to.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(to);
  });
  onward.on("error", (error) => refuse(`the market at ${target.url} does not answer: ${error.message}`));
  from.pipe(onward);
}

function serve(policy: boolean): Connect.NextHandleFunction {
  return (from, to, next) => {
    const path = (from.url ?? "/").split("?")[0] ?? "/";
    if (path.startsWith("/api/")) return forward(from, to);
    for (const [name, value] of Object.entries(headersFor(path))) {
      // Vite's own client needs inline scripts, which the policy of the built files forbids.
      if (policy || !/^(Content-Security-Policy|Cache-Control|Strict-Transport-Security)$/.test(name)) to.setHeader(name, value);
    }
    to.removeHeader("Strict-Transport-Security");
    const running = up();
    if (running !== undefined && /(\/|\.html)$/.test(path)) to.setHeader("Set-Cookie", cookie(running));
    if (path.startsWith("/models/")) {
      const file = modelFile(basename(path));
      if (file === undefined) {
        to.writeHead(404).end();
        return;
      }
      to.writeHead(200, { "content-type": "application/octet-stream", "content-length": statSync(file).size });
      createReadStream(file).pipe(to);
      return;
    }
    next();
  };
}

export function market(): Plugin {
  return {
    name: "assay-market",
    configureServer: (server) => void server.middlewares.use(serve(false)),
    configurePreviewServer: (server) => void server.middlewares.use(serve(true)),
  };
}
