// The page's canister as it keeps sealed chats for one account. It is asked by queries: what a node leaves out is not missed here,
// and what a node changes does not open.
import { Actor, type Identity } from "@icp-sdk/core/agent";
import { idlFactory, type _SERVICE } from "../../bindings/declarations/frontend.did.ts";
import { hex, unhex } from "../bytes.ts";
import { agent, env } from "../ic/connection.ts";
import { Refusal, ok } from "../ic/errors.ts";
import { opt, type KeptChat } from "../ic/types.ts";

/** A copy that lies there. */
export interface Line {
  /** Its name there, in hexadecimal. */
  name: string;
  bytes: number;
  /** The canister's time, in nanoseconds. */
  at: bigint;
}

export interface Keeper {
  canister: Uint8Array;
  owner: Uint8Array;
  /** Canister and account as text. */
  id: string;
  list(): Promise<Line[]>;
  fetch(name: string): Promise<Uint8Array | undefined>;
  keep(name: string, sealed: Uint8Array): Promise<Line>;
  drop(name: string): Promise<void>;
  dropAll(): Promise<void>;
}

export async function keeper(identity: Identity): Promise<Keeper> {
  const canisterId = env().frontend;
  if (canisterId === undefined) throw new Refusal("chats", { NoCanister: null });
  const owner = identity.getPrincipal();
  const canister = Actor.createActor<_SERVICE>(idlFactory, { agent: await agent(identity), canisterId });
  const bytesOf = (name: string): Uint8Array => unhex(name) ?? new Uint8Array();
  return {
    canister: canisterId.toUint8Array(),
    owner: owner.toUint8Array(),
    id: `${canisterId.toText()}/${owner.toText()}`,
    async list() {
      return (await canister.kept_chats()).map(line);
    },
    async fetch(name) {
      const sealed = opt(await canister.kept_chat(bytesOf(name)));
      return sealed && Uint8Array.from(sealed);
    },
    async keep(name, sealed) {
      return line(ok("chats", await canister.keep_chat({ chat: bytesOf(name), sealed })));
    },
    async drop(name) {
      ok("chats", await canister.drop_chat(bytesOf(name)));
    },
    async dropAll() {
      ok("chats", await canister.drop_chats());
    },
  };
}

function line({ chat, bytes, kept_at }: KeptChat): Line {
  return { name: hex(Uint8Array.from(chat)), bytes, at: kept_at };
}
