// A sign-in of an earlier visit, as long as it lasts. The login chunk is loaded only where there was one.
import { actAs, env } from "./connection.ts";

const FLAG = "assay-signed-in";

export function rememberLogin(signedIn: boolean): void {
  try {
    if (signedIn) localStorage.setItem(FLAG, "1");
    else localStorage.removeItem(FLAG);
  } catch {
    // Then the sign-in lasts as long as the page.
  }
}

export async function restoreLogin(): Promise<void> {
  if (localStorage.getItem(FLAG) === null) return;
  const { loginClient } = await import("./login.ts");
  const client = loginClient(env().identityProvider);
  if (client.isAuthenticated()) await actAs(await client.getIdentity());
  else rememberLogin(false);
}
