// What can be asked for now: models, their prices and speeds. Read from queries, so it is a hint; the quote decides the price.
import { hex } from "../bytes.ts";
import type { Model } from "../ic/types.ts";

export interface Offered {
  name: string;
  /** The version, in hexadecimal. */
  id: string;
  model: Model;
  /** Providers whose workers offer it now, jobs that wait, seconds to an answer; absent until a quote told. */
  providers?: number;
  queued?: number;
  waitSeconds?: number;
  /** Cycles for a short question and answer, checked once. */
  expected?: bigint;
}

class Offers {
  models: Offered[] = $state.raw([]);
  state: "none" | "loading" | "ready" | "failed" = $state("none");
  error: unknown = $state.raw(undefined);

  /** The model by this name, else the first that can chat. */
  pick(name: string): Offered | undefined {
    return this.models.find((offered) => offered.name === name) ?? this.models[0];
  }

  async load(): Promise<void> {
    if (this.state === "loading") return;
    this.state = this.models.length > 0 ? "ready" : "loading";
    try {
      const { readOffers } = await import("./read.ts");
      this.models = await readOffers();
      this.state = "ready";
    } catch (error) {
      this.error = error;
      this.state = this.models.length > 0 ? "ready" : "failed";
    }
  }
}

export const offers = new Offers();

export const modelId = (model: Model): string => hex(Uint8Array.from(model.id));
