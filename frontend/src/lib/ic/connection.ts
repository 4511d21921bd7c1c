// The network as this page speaks with it: agents, identities and canisters. All checks of the agent are on.
import { Actor, AnonymousIdentity, HttpAgent, type ActorSubclass, type Identity } from "@icp-sdk/core/agent";
import { Principal } from "@icp-sdk/core/principal";
import { idlFactory as jobsIdl, type _SERVICE as JobsService } from "../../bindings/declarations/jobs.did.ts";
import { idlFactory as registryIdl, type _SERVICE as RegistryService } from "../../bindings/declarations/registry.did.ts";
import { session } from "../session.svelte.ts";
import { guardedFetch } from "./clock.ts";
import { readEnv, type Env } from "./env.ts";
import { guest, guestIsKept } from "./guest.ts";

export type Jobs = ActorSubclass<JobsService>;
export type Registry = ActorSubclass<RegistryService>;
export type { Env };

let known: Env | undefined;
let signedIn: Identity | undefined;
const agents = new Map<string, Promise<HttpAgent>>();

export function env(): Env {
  known ??= readEnv();
  return known;
}

/** Who acts now: whoever is signed in, else the guest. */
export async function me(): Promise<Identity> {
  const identity = signedIn ?? (await guest());
  session.principal = identity.getPrincipal().toText();
  session.kind = signedIn === undefined ? "guest" : "internet identity";
  session.kept = signedIn !== undefined || (await guestIsKept());
  return identity;
}

/** From now on this identity acts, or the guest again. */
export async function actAs(identity: Identity | undefined): Promise<void> {
  signedIn = identity;
  await me();
}

/** The key that asked a question earlier, if it is here now. */
export async function ownerOf(principal: string): Promise<Identity | undefined> {
  const candidates = [signedIn, await guest()];
  return candidates.find((identity) => identity?.getPrincipal().toText() === principal);
}

export function agent(identity: Identity = new AnonymousIdentity()): Promise<HttpAgent> {
  const name = identity.getPrincipal().toText();
  let found = agents.get(name);
  if (found === undefined) {
    found = HttpAgent.create({ host: location.origin, identity, rootKey: env().rootKey, fetch: guardedFetch });
    agents.set(name, found);
    // One that could not be made is made anew by whoever asks next.
    found.catch(() => agents.delete(name));
  }
  return found;
}

export async function registry(identity?: Identity): Promise<Registry> {
  return Actor.createActor<RegistryService>(registryIdl, { agent: await agent(identity), canisterId: env().registry });
}

export async function jobs(shard: string | Principal = env().jobs, identity?: Identity): Promise<Jobs> {
  return Actor.createActor<JobsService>(jobsIdl, { agent: await agent(identity), canisterId: shard });
}

/** All jobs canisters: the one that the page was served with, and those that the registry lists. */
export async function shards(): Promise<Principal[]> {
  const listed = await (await registry()).shards();
  const all = [env().jobs, ...listed];
  return all.filter((id, at) => all.findIndex((other) => other.compareTo(id) === "eq") === at);
}
