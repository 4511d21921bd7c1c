export type { Principal } from "@icp-sdk/core/principal";
export type { JobLine } from "../../lib/ic/types.ts";
