// What the acting account holds in the jobs canister.
import type { Holdings } from "../ic/types.ts";

class Money {
  holdings: Holdings | undefined = $state.raw(undefined);
  error: unknown = $state.raw(undefined);

  async load(): Promise<void> {
    try {
      const { jobs, me } = await import("../ic/connection.ts");
      const owner = (await me()).getPrincipal();
      this.holdings = await (await jobs()).holdings([owner]);
      this.error = undefined;
    } catch (error) {
      this.error = error;
    }
  }

  /** Who pays for a question at this price: the balance, the sponsor pool, both, or nobody yet. */
  payer(price: bigint): "balance" | "pool" | "both" | "nobody" | "unknown" {
    if (this.holdings === undefined) return "unknown";
    const { free, sponsored } = this.holdings;
    if (free >= price) return "balance";
    if (free + sponsored < price) return "nobody";
    return free === 0n ? "pool" : "both";
  }
}

export const money = new Money();
