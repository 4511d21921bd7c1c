// Transfers of the acting account, and the ledger that the market takes deposits from.
import { Principal } from "@icp-sdk/core/principal";
import { env, jobs, me } from "../../lib/ic/connection.ts";
import { ok } from "../../lib/ic/errors.ts";
import { opt, type TransferView } from "../../lib/ic/types.ts";

export interface AccountPage {
  ledger: { id: string; fee: bigint | undefined } | undefined;
  transfers: TransferView[];
  jobs: string;
}

export async function readAccount(): Promise<AccountPage> {
  const canister = await jobs();
  const account = (await me()).getPrincipal();
  const [ledger, transfers] = await Promise.all([
    canister.ledger(),
    canister.transfers({ account: [account], open: false, before: [], limit: 50 }),
  ]);
  const found = opt(ledger);
  return {
    ledger: found && { id: found.id.toText(), fee: opt(found.fee) },
    transfers,
    jobs: env().jobs.toText(),
  };
}

export async function deposit(amount: bigint): Promise<void> {
  const canister = await jobs(undefined, await me());
  ok("money", await canister.deposit_from({ amount, from_subaccount: [] }));
}

export async function withdraw(amount: bigint, to: string, kind: "ledger" | "canister"): Promise<void> {
  const canister = await jobs(undefined, await me());
  const owner = Principal.fromText(to);
  ok("money", await canister.withdraw({ amount, to: kind === "ledger" ? { Ledger: { owner, subaccount: [] } } : { Canister: owner } }));
}
