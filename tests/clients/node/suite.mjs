// The embedded network as the official clients for Node.js see it. POCKET_IC_BIN names the server, ASSAY_WASM_DIR the
// folder of the probe canister; nothing here knows whose server it is.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { PocketIc, PocketIcServer, SubnetStateType, generateRandomIdentity } from "@dfinity/pic";
import { Actor, CanisterStatus, HttpAgent } from "@icp-sdk/core/agent";
import { IDL } from "@icp-sdk/core/candid";
import { Ed25519KeyIdentity } from "@icp-sdk/core/identity";
import { Principal } from "@icp-sdk/core/principal";
import motoko from "motoko";
import motokoClassical from "motoko-classical";

const needed = (name) => {
  const value = process.env[name];
  assert.ok(value, `${name} is not set; run cargo xtask conformance localnet`);
  return value;
};
const wasm = readFileSync(join(needed("ASSAY_WASM_DIR"), "probe.wasm"));
needed("POCKET_IC_BIN");

const idlFactory = ({ IDL }) =>
  IDL.Service({
    read: IDL.Func([], [IDL.Nat64], ["query"]),
    add: IDL.Func([IDL.Nat64], [IDL.Nat64], []),
    reject: IDL.Func([IDL.Text], [], []),
    trap_after_adding: IDL.Func([IDL.Nat64, IDL.Text], [], []),
    trap_in_query: IDL.Func([IDL.Text], [], ["query"]),
    caller: IDL.Func([], [IDL.Principal], ["query"]),
    time: IDL.Func([], [IDL.Nat64], ["query"]),
    run_later: IDL.Func([IDL.Nat64], [], []),
    runs: IDL.Func([], [IDL.Nat64], ["query"]),
    add_there: IDL.Func([IDL.Principal, IDL.Nat64], [IDL.Variant({ Ok: IDL.Nat64, Err: IDL.Text })], []),
  });
const start = (number) => IDL.encode([IDL.Opt(IDL.Nat64)], [[number]]);

let server;

before(async () => {
  server = await PocketIcServer.start();
});

after(async () => {
  await server.stop();
});

/** Runs a case on a network of its own. */
const on = (options, run) => async () => {
  const pic = await PocketIc.create(server.getUrl(), options);
  try {
    await run(pic);
  } finally {
    await pic.tearDown();
  }
};
const fresh = { state: { type: SubnetStateType.New } };
const probe = (pic, options = {}) =>
  pic.setupCanister({ idlFactory, wasm, arg: new Uint8Array(start(7n)), ...options });

test(
  "@dfinity/pic installs a canister, calls it and reads it",
  on({ application: [fresh] }, async (pic) => {
    const { actor, canisterId } = await probe(pic);
    assert.equal(await actor.read(), 7n);
    assert.equal(await actor.add(5n), 12n);
    assert.equal(await actor.read(), 12n);
    const identity = generateRandomIdentity();
    actor.setIdentity(identity);
    assert.equal((await actor.caller()).toText(), identity.getPrincipal().toText());
    const status = await pic.canisterStatus({ canisterId });
    assert.ok("running" in status.status || status.status === "running", JSON.stringify(Object.keys(status)));
  }),
);

test(
  "@dfinity/pic sees rejects and traps, and nothing of what they did",
  on({ application: [fresh] }, async (pic) => {
    const { actor } = await probe(pic);
    await assert.rejects(actor.reject("not today"), /not today/);
    await assert.rejects(actor.trap_after_adding(3n, "halfway"), /halfway/);
    await assert.rejects(actor.trap_in_query("in vain"), /in vain/);
    assert.equal(await actor.read(), 7n);
  }),
);

test(
  "@dfinity/pic upgrades, reinstalls, stops and starts a canister",
  on({ application: [fresh] }, async (pic) => {
    const { actor, canisterId } = await probe(pic);
    await actor.add(1n);
    const nothing = new Uint8Array(IDL.encode([IDL.Opt(IDL.Nat64)], [[]]));
    await pic.upgradeCanister({ canisterId, wasm, arg: nothing });
    assert.equal(await actor.read(), 8n);
    await pic.stopCanister({ canisterId });
    await assert.rejects(actor.add(1n), /stopped/);
    await pic.startCanister({ canisterId });
    await pic.reinstallCode({ canisterId, wasm, arg: new Uint8Array(start(40n)) });
    assert.equal(await actor.read(), 40n);
  }),
);

test(
  "@dfinity/pic moves the clock, and timers run",
  on({ application: [fresh] }, async (pic) => {
    const { actor } = await probe(pic);
    const before = await pic.getTime();
    await actor.run_later(60n);
    await pic.tick(3);
    assert.equal(await actor.runs(), 0n);
    await pic.advanceTime(61_000);
    await pic.tick(5);
    assert.equal(await actor.runs(), 1n);
    assert.ok((await pic.getTime()) >= before + 61_000);
  }),
);

test(
  "@dfinity/pic puts canisters on several subnets that call each other",
  on({ nns: fresh, application: [fresh, fresh] }, async (pic) => {
    const [first, second] = await pic.getApplicationSubnets();
    assert.ok(await pic.getNnsSubnet());
    const one = await probe(pic, { targetSubnetId: first.id });
    const two = await probe(pic, { targetSubnetId: second.id });
    const home = async ({ canisterId }) => (await pic.getCanisterSubnetId(canisterId)).toText();
    assert.deepEqual([await home(one), await home(two)], [first.id.toText(), second.id.toText()]);
    assert.deepEqual(await one.actor.add_there(two.canisterId, 3n), { Ok: 10n });
    assert.equal(await two.actor.read(), 10n);
  }),
);

test(
  "@dfinity/pic adds cycles and sets stable memory",
  on({ application: [fresh] }, async (pic) => {
    const { canisterId } = await probe(pic);
    const before = await pic.getCyclesBalance(canisterId);
    assert.equal(await pic.addCycles(canisterId, 1_000n), before + 1_000n);
    const bytes = new Uint8Array(65_536).fill(9);
    await pic.setStableMemory(canisterId, bytes);
    assert.deepEqual((await pic.getStableMemory(canisterId)).slice(0, 65_536), bytes);
  }),
);

test(
  "@icp-sdk/core calls a live network with every check on",
  on({ nns: fresh, application: [fresh] }, async (pic) => {
    const { canisterId } = await probe(pic);
    const port = await pic.makeLive();
    const identity = Ed25519KeyIdentity.generate();
    const agent = await HttpAgent.create({
      host: `http://127.0.0.1:${port}`,
      identity,
      shouldFetchRootKey: true,
      verifyQuerySignatures: true,
    });
    const actor = Actor.createActor(idlFactory, { agent, canisterId });
    assert.equal(await actor.add(1n), 8n);
    assert.equal(await actor.read(), 8n);
    assert.equal((await actor.caller()).toText(), identity.getPrincipal().toText());
    await assert.rejects(actor.reject("no"), /no/);
    const status = await CanisterStatus.request({ agent, canisterId, paths: ["time", "controllers", "module_hash"] });
    assert.match(String(status.get("module_hash")), /^[0-9a-f]{64}$/);
    const nobody = Actor.createActor(idlFactory, { agent, canisterId: Principal.fromText("aaaaa-aa") });
    await assert.rejects(nobody.add(1n));
    await pic.stopLive();
  }),
);

// What Motoko's compilers make: 64-bit memories that outlive upgrades, and 32-bit ones with stable variables.

const counterFactory = ({ IDL }) =>
  IDL.Service({
    inc: IDL.Func([], [IDL.Nat], []),
    twice: IDL.Func([], [IDL.Nat], []),
    crash: IDL.Func([], [], []),
    get: IDL.Func([], [IDL.Nat], ["query"]),
    runs: IDL.Func([], [IDL.Nat], ["query"]),
  });
const counter = (actor, stable, transient) => `
${actor} Counter {
  ${stable} count : Nat = 0;
  ${transient} started : Nat = 0;
  public func inc() : async Nat { count += 1; started += 1; count };
  public func twice() : async Nat { ignore await inc(); await inc() };
  public func crash() : async () { count += 100; assert false };
  public query func get() : async Nat { count };
  public query func runs() : async Nat { started };
}`;
const compile = (compiler, source) => {
  compiler.write("Counter.mo", source);
  return new Uint8Array(compiler.wasm("Counter.mo", "ic").wasm);
};

const counts = (wasm, upgradeModeOptions) => async (pic) => {
  const { actor, canisterId } = await pic.setupCanister({ idlFactory: counterFactory, wasm });
  assert.equal(await actor.inc(), 1n);
  assert.equal(await actor.twice(), 3n);
  await assert.rejects(actor.crash(), /assertion failed/);
  assert.deepEqual([await actor.get(), await actor.runs()], [3n, 3n]);
  await pic.upgradeCanister({ canisterId, wasm, upgradeModeOptions });
  assert.deepEqual([await actor.get(), await actor.runs()], [3n, 0n]);
  assert.equal(await actor.inc(), 4n);
};

test("motoko 4.10 makes a canister that keeps its 64-bit memory over an upgrade", async () => {
  const source = counter("persistent actor", "var", "transient var");
  const keep = { skip_pre_upgrade: [], wasm_memory_persistence: [{ keep: null }] };
  await on({ application: [fresh] }, counts(compile(motoko, source), keep))();
});

test("motoko 3.6 makes a canister that saves its stable variables before an upgrade", async () => {
  const source = counter("actor", "stable var", "var");
  await on({ application: [fresh] }, counts(compile(motokoClassical, source)))();
});
