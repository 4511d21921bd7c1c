import type { Principal } from "@icp-sdk/core/principal";
import { jobs, registry, shards } from "../../lib/ic/connection.ts";
import { opt, type Idle, type Provider, type Worker } from "../../lib/ic/types.ts";

export interface WorkerPage {
  worker: Worker | undefined;
  provider: Provider | undefined;
  /** Why it has work or none, as each jobs canister says. */
  shards: { shard: string; idle: Idle }[];
  /** Of its provider's account, all jobs canisters together. */
  paid: bigint;
  leases: bigint;
}

export async function readWorker(operator: Principal): Promise<WorkerPage> {
  const canister = await registry();
  const worker = opt(await canister.worker(operator));
  const provider = worker && opt(await canister.provider(worker.provider));
  const page: WorkerPage = { worker, provider, shards: [], paid: 0n, leases: 0n };
  if (worker === undefined) return page;
  for (const id of await shards()) {
    const shard = await jobs(id);
    page.shards.push({ shard: id.toText(), idle: await shard.explain(operator) });
    const { paid, leases } = await shard.earnings(provider?.payout ?? worker.provider);
    page.paid += paid;
    page.leases += leases;
  }
  return page;
}
