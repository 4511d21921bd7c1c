// What the network page shows, from all jobs canisters together.
import { env, jobs, shards } from "../../lib/ic/connection.ts";
import { tag, type Idle, type JobLine, type Provider, type Stats, type Worker } from "../../lib/ic/types.ts";
import { readJobs, readProviders, readWorkers } from "../../lib/market/read.ts";

export interface Numbers {
  queued: number;
  atWork: number;
  verified: number;
  inconclusive: number;
  unverified: number;
  other: number;
  leases: number;
  workers: number;
  providers: number;
  models: number;
  held: bigint;
  staked: bigint;
  sponsor: bigint;
  events: number;
}

export async function readNumbers(): Promise<Numbers> {
  const all = await Promise.all((await shards()).map(async (id) => (await jobs(id)).stats()));
  const sum = (of: (stats: Stats) => bigint): bigint => all.reduce((total, stats) => total + of(stats), 0n);
  const most = (of: (stats: Stats) => bigint): number => Number(all.reduce((top, stats) => (of(stats) > top ? of(stats) : top), 0n));
  return {
    queued: Number(sum(({ queued }) => queued)),
    atWork: Number(sum(({ running, revealing, extended }) => running + revealing + extended)),
    verified: Number(sum(({ verified }) => verified)),
    inconclusive: Number(sum(({ inconclusive }) => inconclusive)),
    unverified: Number(sum(({ unverified }) => unverified)),
    other: Number(sum(({ cancelled, expired, failed }) => cancelled + expired + failed)),
    leases: Number(sum(({ leases }) => leases)),
    // Every jobs canister knows the same registry.
    workers: most(({ workers }) => workers),
    providers: most(({ providers }) => providers),
    models: most(({ models }) => models),
    held: sum(({ held }) => held),
    staked: sum(({ staked }) => staked),
    sponsor: sum(({ sponsor }) => sponsor),
    events: Number(sum(({ events }) => events)),
  };
}

export interface WorkerLine {
  worker: Worker;
  provider: Provider | undefined;
  /** What the first jobs canister says about it. */
  idle: Idle | undefined;
  paid: bigint;
  leases: bigint;
}

/** Workers that are explained one by one. */
const EXPLAINED_MAX = 40;

export async function readWorkerLines(): Promise<WorkerLine[]> {
  const [workers, providers, canister] = await Promise.all([readWorkers(), readProviders(), jobs()]);
  const active = workers.filter(({ status }) => tag(status) !== "Retired");
  return Promise.all(
    active.map(async (worker, at): Promise<WorkerLine> => {
      const provider = providers.get(worker.provider.toText());
      if (at >= EXPLAINED_MAX) return { worker, provider, idle: undefined, paid: 0n, leases: 0n };
      const [idle, { paid, leases }] = await Promise.all([
        canister.explain(worker.operator),
        canister.earnings(provider?.payout ?? worker.provider),
      ]);
      return { worker, provider, idle, paid, leases };
    }),
  );
}

export interface ShardJobs {
  shard: string;
  lines: JobLine[];
}

export async function readLatest(): Promise<ShardJobs[]> {
  return Promise.all((await shards()).map(async (id) => ({ shard: id.toText(), lines: await readJobs(id.toText()) })));
}

export const firstShard = (): string => env().jobs.toText();
