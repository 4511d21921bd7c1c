// What the server that gave the page says about the network: the `ic_env` cookie.
import { IC_ROOT_KEY } from "@icp-sdk/core/agent";
import { safeGetCanisterEnv } from "@icp-sdk/core/agent/canister-env";
import { Principal } from "@icp-sdk/core/principal";
import { unhex } from "../bytes.ts";

export interface Env {
  rootKey: Uint8Array;
  registry: Principal;
  jobs: Principal;
  /** Where people sign in; absent is Internet Identity's own address. */
  identityProvider: string | undefined;
}

/** The page was served without word of the canisters. */
export class NoEnv extends Error {
  override name = "NoEnv";
}

export function readEnv(): Env {
  const found = safeGetCanisterEnv() as (Record<string, unknown> & { IC_ROOT_KEY: Uint8Array }) | undefined;
  const id = (name: string): Principal => {
    const text = found?.[`PUBLIC_CANISTER_ID:${name}`];
    try {
      return Principal.fromText(String(text));
    } catch {
      throw new NoEnv(`the cookie ic_env names no canister ${name}`);
    }
  };
  const provider = found?.["PUBLIC_IDENTITY_PROVIDER"];
  return {
    rootKey: found?.IC_ROOT_KEY ?? unhex(IC_ROOT_KEY) ?? new Uint8Array(),
    registry: id("registry"),
    jobs: id("jobs"),
    identityProvider: typeof provider === "string" ? provider : undefined,
  };
}
