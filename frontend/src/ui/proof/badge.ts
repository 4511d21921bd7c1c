// In which of the badge's states an answer is.
import type { Reply } from "../../lib/chat/types.ts";

export type BadgeState =
  | "pending"
  | "checking"
  | "verified"
  | "reverified"
  | "inconclusive"
  | "unverified"
  | "refused"
  | "differs"
  | "device"
  | "none";

export function badgeOf(reply: Pick<Reply, "phase" | "proof" | "rerun" | "ending" | "place" | "text" | "open">): BadgeState {
  const { phase, proof, rerun, ending, place } = reply;
  if (rerun?.kind === "differs") return "differs";
  if (place === "device") return phase === "failed" ? "none" : reply.open === 1 ? "pending" : "device";
  if (proof.kind === "refused") return "refused";
  if (proof.kind === "checking") return "checking";
  if (phase === "failed") return "none";
  if (ending === undefined) return reply.open === 1 ? "pending" : "none";
  // Only what the certificate says counts.
  if (proof.kind !== "proven") return "none";
  if (ending.outcome === "verified") return rerun?.kind === "same" ? "reverified" : "verified";
  if (ending.outcome === "unverified") return rerun?.kind === "same" ? "reverified" : "unverified";
  return ending.outcome === "inconclusive" ? "inconclusive" : "none";
}
