// The root key of the network that this page came from, if it came from one.
import { env } from "../../lib/ic/connection.ts";

export function ownRootKey(): Uint8Array | undefined {
  try {
    return env().rootKey;
  } catch {
    return undefined;
  }
}
