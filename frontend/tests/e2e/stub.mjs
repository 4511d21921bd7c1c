// Stands in for Internet Identity: the same protocol between the windows, ICRC-29 and ICRC-34, and one person who always says yes.
import { createServer } from "node:http";
import { DelegationChain, Ed25519KeyIdentity } from "@icp-sdk/core/identity";

const person = Ed25519KeyIdentity.generate(new Uint8Array(32).fill(7));
const base64 = (bytes) => Buffer.from(bytes).toString("base64");

const PAGE = `<!doctype html><html lang="en"><title>Sign in</title><script>
addEventListener("message", async ({ data, source, origin }) => {
  if (data?.jsonrpc !== "2.0") return;
  const answer = (body) => source.postMessage({ jsonrpc: "2.0", id: data.id, ...body }, origin);
  if (data.method === "icrc29_status") return answer({ result: "ready" });
  if (data.method !== "icrc34_delegation") return answer({ error: { code: -32601, message: "not supported" } });
  const signed = await fetch("/sign", { method: "POST", body: JSON.stringify(data.params) });
  answer({ result: await signed.json() });
});
</script><p>Signing in</p></html>`;

async function sign({ publicKey, maxTimeToLive }) {
  const session = Buffer.from(publicKey, "base64");
  const life = Math.min(Number(BigInt(maxTimeToLive ?? 0) / 1_000_000n) || 1_800_000, 8 * 3_600_000);
  const chain = await DelegationChain.create(person, { toDer: () => new Uint8Array(session) }, new Date(Date.now() + life));
  return {
    publicKey: base64(chain.publicKey),
    signerDelegation: chain.delegations.map(({ delegation, signature }) => ({
      delegation: { pubkey: base64(delegation.pubkey), expiration: delegation.expiration.toString() },
      signature: base64(signature),
    })),
  };
}

async function answer(request, response) {
  if (request.method !== "POST") return response.setHeader("Content-Type", "text/html").end(PAGE);
  let body = "";
  for await (const part of request) body += part;
  response.setHeader("Content-Type", "application/json").end(JSON.stringify(await sign(JSON.parse(body))));
}

/** Browsers look for the host itself, and other names below `localhost`, on this machine. */
export async function startStub() {
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.writeHead(500).end());
  });
  await new Promise((resolve) => server.listen(Number(process.env.ASSAY_STUB_PORT ?? 0), "127.0.0.1", resolve));
  return {
    address: `http://id.localhost:${server.address().port}/authorize`,
    principal: person.getPrincipal().toText(),
    stop: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}
