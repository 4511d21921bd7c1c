// The page's canister as it keeps sealed chats for one account. It is asked by queries: what a node leaves out is not missed here,
// and what a node changes does not open.
import { Actor, type Identity } from "@icp-sdk/core/agent";
import { idlFactory, type _SERVICE } from "../../bindings/declarations/frontend.did.ts";
import { hex, unhex } from "../bytes.ts";
import { agent, env } from "../ic/connection.ts";
import { Refusal, ok } from "../ic/errors.ts";
import { opt, type KeptChat, type SealedChat } from "../ic/types.ts";
import { KEPT_CHATS_MAX, SEALED_BYTES_MAX } from "../limits.ts";

/** A copy that lies there. */
export interface Line {
  /** Its name there, in hexadecimal. */
  name: string;
  bytes: number;
  /** The canister's time, in nanoseconds. */
  at: bigint;
}

/** A copy as it was fetched. */
export interface Copy {
  sealed: Uint8Array;
  /** When exactly these bytes were kept there. The list may come from another node, which knows more or less. */
  at: bigint;
}

export interface Keeper {
  canister: Uint8Array;
  owner: Uint8Array;
  /** Canister and account as text. */
  id: string;
  list(): Promise<Line[]>;
  fetch(name: string): Promise<Copy | undefined>;
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
      return linesOf(await canister.kept_chats());
    },
    async fetch(name) {
      return copyOf(opt(await canister.kept_chat(bytesOf(name))));
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

/** The list as far as the canister would make it. */
export function linesOf(found: KeptChat[]): Line[] {
  return found.slice(0, KEPT_CHATS_MAX).map(line);
}

/** Nothing, too, where there is more of it than the canister would keep. */
export function copyOf(found: SealedChat | undefined): Copy | undefined {
  if (found === undefined || found.sealed.length > SEALED_BYTES_MAX) return undefined;
  return { sealed: Uint8Array.from(found.sealed), at: found.kept_at };
}

function line({ chat, bytes, kept_at }: KeptChat): Line {
  return { name: hex(Uint8Array.from(chat)), bytes, at: kept_at };
}
