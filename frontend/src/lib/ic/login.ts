// Internet Identity. A chunk of its own: load it before the button can be pressed, because the window must open in the click itself.
import { AuthClient } from "@icp-sdk/auth/client";
import type { Identity } from "@icp-sdk/core/agent";

const HOURS = 8n;
let client: AuthClient | undefined;

export function loginClient(identityProvider: string | undefined): AuthClient {
  // The default idle manager reloads the page after ten minutes, in the middle of an answer if need be.
  client ??= new AuthClient({
    idleOptions: { disableIdle: true },
    ...(identityProvider === undefined ? {} : { identityProvider }),
  });
  return client;
}

export function signIn(auth: AuthClient): Promise<Identity> {
  return auth.signIn({ maxTimeToLive: HOURS * 3_600_000_000_000n });
}
