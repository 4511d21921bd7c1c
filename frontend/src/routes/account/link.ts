// What this browser's guest holds in the market, for whoever signed in here: one click gives it to that account.
import { Principal } from "@icp-sdk/core/principal";
import { jobs, me, shards } from "../../lib/ic/connection.ts";
import { ok } from "../../lib/ic/errors.ts";
import { guest } from "../../lib/ic/guest.ts";

export interface GuestHoldings {
  /** Free cycles, in all jobs canisters. */
  free: bigint;
  /** Stake, that on its way out included: it stays the guest's. */
  stake: bigint;
  /** The jobs canisters that have free cycles of the guest's. */
  places: { shard: Principal; free: bigint }[];
}

/** Nothing while the guest itself acts. */
export async function readGuest(): Promise<GuestHoldings | undefined> {
  const [acting, other] = [(await me()).getPrincipal(), (await guest()).getPrincipal()];
  if (acting.compareTo(other) === "eq") return undefined;
  const all = await Promise.all((await shards()).map(async (shard) => ({ shard, held: await (await jobs(shard)).holdings([other]) })));
  const sum = (amounts: bigint[]): bigint => amounts.reduce((total, amount) => total + amount, 0n);
  return {
    free: sum(all.map(({ held }) => held.free)),
    stake: sum(all.map(({ held }) => held.stake + held.unbonding)),
    places: all.filter(({ held }) => held.free > 0n).map(({ shard, held }) => ({ shard, free: held.free })),
  };
}

/** Gives all that is free to the account that acts, under the guest's key. What a failure leaves can be moved again. */
export async function moveGuest(): Promise<void> {
  const to = (await me()).getPrincipal();
  const from = await guest();
  for (const { shard, free } of (await readGuest())?.places ?? []) {
    ok("money", await (await jobs(shard, from)).give({ to, amount: free }));
  }
}
