// What the server that gave the page says about the network: the `ic_env` cookie.
import { IC_ROOT_KEY } from "@icp-sdk/core/agent";
import { safeGetCanisterEnv } from "@icp-sdk/core/agent/canister-env";
import { Principal } from "@icp-sdk/core/principal";
import { unhex } from "../bytes.ts";

export interface Env {
  rootKey: Uint8Array;
  registry: Principal;
  jobs: Principal;
  /** The canister that serves this page, where it is known. */
  frontend: Principal | undefined;
  /** Where people sign in; absent is Internet Identity's own address. */
  identityProvider: string | undefined;
}

const CANISTER_ID_BYTES = 10;

/** The page was served without word of the canisters. */
export class NoEnv extends Error {
  override name = "NoEnv";
}

/** What a text spells, if it is a principal. */
function principal(text: unknown): Principal | undefined {
  try {
    return Principal.fromText(String(text));
  } catch {
    return undefined;
  }
}

/** The canister that a gateway's address names, as in `<canister>.icp0.io`; nothing for other domains. */
export function canisterOf(hostname: string): Principal | undefined {
  const found = principal(hostname.split(".")[0]);
  return found?.toUint8Array().length === CANISTER_ID_BYTES ? found : undefined;
}

export function readEnv(): Env {
  const found = safeGetCanisterEnv() as (Record<string, unknown> & { IC_ROOT_KEY: Uint8Array }) | undefined;
  const id = (name: string): Principal | undefined => principal(found?.[`PUBLIC_CANISTER_ID:${name}`]);
  const needed = (name: string): Principal => {
    const known = id(name);
    if (known === undefined) throw new NoEnv(`the cookie ic_env names no canister ${name}`);
    return known;
  };
  const provider = found?.["PUBLIC_IDENTITY_PROVIDER"];
  return {
    rootKey: found?.IC_ROOT_KEY ?? unhex(IC_ROOT_KEY) ?? new Uint8Array(),
    registry: needed("registry"),
    jobs: needed("jobs"),
    frontend: id("frontend") ?? canisterOf(location.hostname),
    identityProvider: typeof provider === "string" ? provider : undefined,
  };
}
