// What the acting account has in the registry, and what it may do there.
import { Principal } from "@icp-sdk/core/principal";
import { jobs, me, registry } from "../../lib/ic/connection.ts";
import { ok } from "../../lib/ic/errors.ts";
import { opt, type Board, type Idle, type Provider, type Worker } from "../../lib/ic/types.ts";
import { PAGE_MAX } from "../../lib/limits.ts";

export interface Mine {
  provider: Provider | undefined;
  workers: { worker: Worker; idle: Idle }[];
  paid: bigint;
  leases: bigint;
}

export async function readMine(): Promise<Mine> {
  const owner = (await me()).getPrincipal();
  const [canister, shard] = await Promise.all([registry(), jobs()]);
  const provider = opt(await canister.provider(owner));
  if (provider === undefined) return { provider, workers: [], paid: 0n, leases: 0n };
  const [workers, { paid, leases }] = await Promise.all([
    canister.workers({ provider: [owner], after: [], limit: PAGE_MAX }),
    shard.earnings(provider.payout),
  ]);
  return {
    provider,
    workers: await Promise.all(workers.map(async (worker) => ({ worker, idle: await shard.explain(worker.operator) }))),
    paid,
    leases,
  };
}

export async function saveProvider(known: boolean, name: string, contact: string): Promise<void> {
  const canister = await registry(await me());
  const args = { name, contact, payout: [] as [] };
  ok("registry", known ? await canister.update_provider(args) : await canister.register_provider(args));
}

export interface NewWorker {
  operator: string;
  board: Board;
  chips: number;
  region: string;
  slots: number;
}

export async function addWorker({ operator, board, chips, region, slots }: NewWorker): Promise<void> {
  const canister = await registry(await me());
  const hardware = { board, chips, memory_bytes: 0n, driver: "", tokens_per_second_milli: [] as [], watts: [] as [] };
  ok("registry", await canister.add_worker({ operator: Principal.fromText(operator), hardware, backends: ["cpu"], region, slots }));
  // The market hears of it by itself within seconds; this only makes it sooner.
  await (await jobs(undefined, await me())).sync_registry().catch(() => undefined);
}

export async function endWorker(operator: Principal, how: "drain" | "retire"): Promise<void> {
  const canister = await registry(await me());
  ok("registry", how === "drain" ? await canister.drain_worker(operator) : await canister.retire_worker(operator));
}

export async function moveStake(how: "stake" | "unstake" | "release", amount: bigint): Promise<void> {
  const canister = await jobs(undefined, await me());
  if (how === "stake") ok("money", await canister.stake(amount));
  else if (how === "unstake") ok("money", await canister.unstake(amount));
  else ok("money", await canister.release_stake());
}
