// The two calls of an ICRC ledger that a deposit needs.
import { Actor, type ActorMethod } from "@icp-sdk/core/agent";
import { IDL } from "@icp-sdk/core/candid";
import { Principal } from "@icp-sdk/core/principal";
import { agent, env, me } from "../../lib/ic/connection.ts";
import { Refusal } from "../../lib/ic/errors.ts";

interface Account {
  owner: Principal;
  subaccount: [];
}

interface Approve {
  spender: Account;
  amount: bigint;
  from_subaccount: [];
  expected_allowance: [];
  expires_at: [];
  fee: [];
  memo: [];
  created_at_time: [];
}

interface Ledger {
  icrc1_balance_of: ActorMethod<[Account], bigint>;
  icrc2_approve: ActorMethod<[Approve], { Ok: bigint } | { Err: object }>;
}

const blob = IDL.Vec(IDL.Nat8);
const account = IDL.Record({ owner: IDL.Principal, subaccount: IDL.Opt(blob) });
const approve = IDL.Record({
  spender: account,
  amount: IDL.Nat,
  from_subaccount: IDL.Opt(blob),
  expected_allowance: IDL.Opt(IDL.Nat),
  expires_at: IDL.Opt(IDL.Nat64),
  fee: IDL.Opt(IDL.Nat),
  memo: IDL.Opt(blob),
  created_at_time: IDL.Opt(IDL.Nat64),
});
const error = IDL.Variant({
  BadFee: IDL.Record({ expected_fee: IDL.Nat }),
  InsufficientFunds: IDL.Record({ balance: IDL.Nat }),
  AllowanceChanged: IDL.Record({ current_allowance: IDL.Nat }),
  Expired: IDL.Record({ ledger_time: IDL.Nat64 }),
  TooOld: IDL.Null,
  CreatedInFuture: IDL.Record({ ledger_time: IDL.Nat64 }),
  Duplicate: IDL.Record({ duplicate_of: IDL.Nat }),
  TemporarilyUnavailable: IDL.Null,
  GenericError: IDL.Record({ error_code: IDL.Nat, message: IDL.Text }),
});
const idl: IDL.InterfaceFactory = () =>
  IDL.Service({
    icrc1_balance_of: IDL.Func([account], [IDL.Nat], ["query"]),
    icrc2_approve: IDL.Func([approve], [IDL.Variant({ Ok: IDL.Nat, Err: error })], []),
  });

async function ledger(id: string): Promise<Ledger> {
  return Actor.createActor<Ledger>(idl, { agent: await agent(await me()), canisterId: id });
}

export async function balanceThere(id: string): Promise<bigint> {
  return (await ledger(id)).icrc1_balance_of({ owner: (await me()).getPrincipal(), subaccount: [] });
}

/** Lets the market take so much, its fee included. */
export async function allow(id: string, amount: bigint): Promise<void> {
  const none = [] as [];
  const answer = await (await ledger(id)).icrc2_approve({
    spender: { owner: env().jobs, subaccount: none },
    amount,
    from_subaccount: none,
    expected_allowance: none,
    expires_at: none,
    fee: none,
    memo: none,
    created_at_time: none,
  });
  if ("Err" in answer) throw new Refusal("money", answer.Err);
}
