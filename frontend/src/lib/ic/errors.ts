// What can go wrong with a call, as a value that is kept and told in any language.
import { AgentError, TimeoutWaitingForResponseErrorCode, TransportError, TrustError } from "@icp-sdk/core/agent";
import { Principal } from "@icp-sdk/core/principal";
import { hex } from "../bytes.ts";
import type { Trouble } from "../chat/types.ts";
import { clockIsWrong } from "./clock.ts";
import { NoEnv } from "./env.ts";

/** A canister said no, and why. */
export class Refusal extends Error {
  override name = "Refusal";

  constructor(
    readonly area: Trouble["area"],
    readonly variant: object,
  ) {
    super(`${area}: ${Object.keys(variant)[0]}`);
  }
}

/** The good half of a result; the other is thrown. */
export function ok<T>(area: Trouble["area"], result: { Ok: T } | { Err: object }): T {
  if ("Ok" in result) return result.Ok;
  throw new Refusal(area, result.Err);
}

/** Whether the same call may succeed later, or may have succeeded without our hearing of it. */
export function isPassing(error: unknown): boolean {
  if (error instanceof Refusal) return ["QueueFull", "Busy"].includes(Object.keys(error.variant)[0] ?? "");
  return error instanceof TransportError || isTimeout(error) || error instanceof TypeError;
}

export function trouble(error: unknown): Trouble {
  if (error instanceof Refusal) {
    const [name = "Other", value] = Object.entries(error.variant)[0] ?? [];
    return { area: error.area, name, detail: details(value) };
  }
  const message = error instanceof Error ? error.message : String(error);
  const call = (name: string): Trouble => ({ area: "call", name, detail: { message: message.slice(0, 500) } });
  if (error instanceof NoEnv) return call("NoEnv");
  if (clockIsWrong()) return call("Clock");
  if (error instanceof TrustError) return call("Trust");
  if (isTimeout(error)) return call("Timeout");
  if (error instanceof TransportError || error instanceof TypeError) return call(navigator.onLine ? "Unreachable" : "Offline");
  if (error instanceof AgentError) return call("Rejected");
  return call("Other");
}

function isTimeout(error: unknown): boolean {
  return error instanceof AgentError && error.hasCode(TimeoutWaitingForResponseErrorCode);
}

/** A case's fields as texts; a single value goes by the name `value`. */
function details(value: unknown): Record<string, string> {
  const isRecord = typeof value === "object" && value !== null && !(value instanceof Uint8Array) && !(value instanceof Principal);
  const entries = isRecord ? Object.entries(value) : value === null || value === undefined ? [] : [["value", value] as const];
  return Object.fromEntries(entries.map(([name, field]) => [name, text(field)]));
}

function text(value: unknown): string {
  if (value instanceof Principal) return value.toText();
  if (value instanceof Uint8Array) return hex(value);
  if (typeof value === "object" && value !== null) return Object.keys(value)[0] ?? "";
  return String(value);
}
