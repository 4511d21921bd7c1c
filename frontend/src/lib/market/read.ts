// Lists of the registry and the jobs canisters, page by page.
import type { Principal } from "@icp-sdk/core/principal";
import { jobRequest } from "../chat/request.ts";
import { jobs, registry } from "../ic/connection.ts";
import { ok } from "../ic/errors.ts";
import { opt, toOpt, type JobLine, type Model, type Provider, type Worker } from "../ic/types.ts";
import { PAGES_MAX, PAGE_MAX } from "../limits.ts";
import { DRAWING } from "../prefs.svelte.ts";
import { modelId, type Offered } from "./offers.svelte.ts";

/** Follows a list to its end, or to the most pages that are read. */
async function all<T, K>(page: (after: K | undefined) => Promise<T[]>, keyOf: (last: T) => K): Promise<T[]> {
  const found: T[] = [];
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const last = found.at(-1);
    const next = await page(last === undefined ? undefined : keyOf(last));
    if (next.length === 0) break;
    found.push(...next);
    if (next.length < PAGE_MAX) break;
  }
  return found;
}

export async function readModels(): Promise<Model[]> {
  const canister = await registry();
  return all(
    (after: Model["id"] | undefined) => canister.models({ after: toOpt(after), limit: PAGE_MAX }),
    ({ id }) => id,
  );
}

export async function readWorkers(): Promise<Worker[]> {
  const canister = await registry();
  return all(
    (after: Principal | undefined) => canister.workers({ provider: [], after: toOpt(after), limit: PAGE_MAX }),
    ({ operator }) => operator,
  );
}

export async function readProviders(): Promise<Map<string, Provider>> {
  const canister = await registry();
  const list = await all(
    (after: Principal | undefined) => canister.providers({ after: toOpt(after), limit: PAGE_MAX }),
    ({ id }) => id,
  );
  return new Map(list.map((provider) => [provider.id.toText(), provider]));
}

export async function readJobs(shard: string, before?: bigint, requester?: Principal): Promise<JobLine[]> {
  return (await jobs(shard)).jobs({ requester: toOpt(requester), before: toOpt(before), limit: 50 });
}

/** Models that take jobs, those with workers first, each with the quote of a short checked question. */
export async function readOffers(): Promise<Offered[]> {
  const canister = await jobs();
  const models = (await readModels()).filter(({ deprecated }) => !deprecated);
  const offered = await Promise.all(
    models.map(async (model): Promise<Offered> => {
      const found: Offered = { name: model.manifest.name, id: modelId(model), model };
      const sample = jobRequest(found.name, [{ role: "user", content: "x".repeat(100) }], { ...DRAWING, maxTokens: 100 }, { kind: "single" });
      try {
        const quote = ok("submit", await canister.quote(sample));
        found.providers = quote.providers;
        found.queued = quote.queued;
        found.expected = quote.price_expected;
        const wait = opt(quote.wait_seconds);
        if (wait !== undefined) found.waitSeconds = wait;
      } catch {
        // A model that nobody offers now, or that makes vectors, stays without a price.
        found.providers = 0;
      }
      return found;
    }),
  );
  return offered.sort((a, b) => (b.providers ?? 0) - (a.providers ?? 0) || a.name.localeCompare(b.name));
}

