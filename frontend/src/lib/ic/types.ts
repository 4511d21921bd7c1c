// Names of the interfaces' types, and how their shapes are read.
export type { ChatsError, KeptChat, SealedChat } from "../../bindings/declarations/frontend.did.ts";
export type {
  Answer,
  Assurance,
  CertifiedReceipt,
  Holdings,
  Idle,
  JobError,
  JobLine,
  JobRequest,
  JobState,
  JobView,
  LeaseState,
  LeaseView,
  MoneyError,
  Parameters,
  Quote,
  Reason,
  Receipt,
  ReceiptLease,
  Role,
  Sampling,
  Stats,
  StreamChunk,
  SubmitArgs,
  SubmitError,
  Submitted,
  Task,
  TransferView,
  Transition,
  Verdict,
  WorkerError,
} from "../../bindings/declarations/jobs.did.ts";
export type {
  Board,
  BoardFacts,
  Hardware,
  HardwareCatalogue,
  MeasuredSpeed,
  Model,
  Provider,
  RegistryError,
  Worker,
} from "../../bindings/declarations/registry.did.ts";

type KeysOf<U> = U extends unknown ? keyof U : never;

/** Which case of a variant it is. */
export function tag<V extends object>(variant: V): KeysOf<V> & string {
  return Object.keys(variant)[0] as KeysOf<V> & string;
}

/** What an optional holds. */
export function opt<T>(value: [] | [T]): T | undefined {
  return value[0];
}

export const toOpt = <T>(value: T | undefined): [] | [T] => (value === undefined ? [] : [value]);
