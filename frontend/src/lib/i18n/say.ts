import type { Trouble } from "../chat/types.ts";
import type { ChatsError, JobError, MoneyError, RegistryError, SubmitError, WorkerError } from "../ic/types.ts";

/** Words for one case of an error; absent fields read as nothing. */
export type Say = (detail: Trouble["detail"]) => { what: string; next: string };

type Cases<V> = V extends unknown ? keyof V & string : never;

/** Every case that a canister may answer with has words of its own. */
export interface Errors {
  submit: Record<Cases<SubmitError>, Say>;
  job: Record<Cases<JobError>, Say>;
  money: Record<Cases<MoneyError>, Say>;
  registry: Record<Cases<RegistryError>, Say>;
  worker: Record<Cases<WorkerError>, Say>;
  chats: Record<Cases<ChatsError> | "NoCanister", Say>;
  call: Record<"NoEnv" | "Clock" | "Trust" | "Timeout" | "Unreachable" | "Offline" | "Rejected" | "OtherOwner" | "Lost" | "Other", Say>;
  device: Record<"NoWeights" | "Memory" | "Engine", Say>;
}
