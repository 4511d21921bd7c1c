// Receipts that were fetched, so that they can be checked, shown and saved without the network.
import { env } from "../ic/connection.ts";
import type { CertifiedReceipt } from "../ic/types.ts";
import { prefs } from "../prefs.svelte.ts";
import { decodeReceipt, encodeReceipt, type ReceiptFile } from "../proof/file.ts";
import { database, type KeptReceipt } from "./db.ts";

const here = new Map<string, KeptReceipt>();
const idOf = (canister: string, job: string): string => `${canister}/${job}`;

export async function keepReceipt(certified: CertifiedReceipt): Promise<void> {
  const { canister, job } = certified.receipt;
  const kept: KeptReceipt = {
    id: idOf(canister.toText(), job.toString()),
    network: location.origin,
    rootKey: env().rootKey,
    bytes: encodeReceipt(certified),
    keptAt: Date.now(),
  };
  here.set(kept.id, kept);
  if (prefs.keep !== "none") await (await database())?.put("receipts", kept).catch(() => undefined);
}

export async function keptReceipt(canister: string, job: string): Promise<ReceiptFile | undefined> {
  const id = idOf(canister, job);
  const kept = here.get(id) ?? (await (await database())?.get("receipts", id));
  return kept && { network: kept.network, rootKey: kept.rootKey, certified: decodeReceipt(kept.bytes) };
}
