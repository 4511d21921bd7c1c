// Between the page and the network: what a node, or whoever sits on the way, could change.
import { request as send } from "node:http";

/** Sends a page's request on. Browsers know that names below `localhost` are this machine; other programs need not. */
function forward(request) {
  const { host, port, pathname } = new URL(request.url());
  const headers = { ...request.headers(), host };
  delete headers["accept-encoding"];
  return new Promise((resolve, reject) => {
    const sent = send({ host: "127.0.0.1", port, path: pathname, method: request.method(), headers }, async (answer) => {
      const parts = [];
      for await (const part of answer) parts.push(part);
      resolve({ status: answer.statusCode, headers: { "content-type": answer.headers["content-type"] ?? "" }, body: Buffer.concat(parts) });
    });
    sent.on("error", reject);
    sent.end(request.postDataBuffer());
  });
}

/** Routes the queries of one canister method through `change`, which gets the answer's bytes and returns others. */
export async function onQuery(context, method, change) {
  const needle = Buffer.from(`method_name`);
  await context.route(/\/api\/v\d+\/canister\/[^/]+\/query$/, async (route) => {
    const body = route.request().postDataBuffer() ?? Buffer.alloc(0);
    const at = body.indexOf(needle);
    // CBOR: the name's text follows its key, with a head of one byte.
    const asked = at < 0 ? "" : body.subarray(at + needle.length + 1, at + needle.length + 1 + (body[at + needle.length] & 0x1f)).toString();
    if (asked !== method) return route.continue();
    const answer = await forward(route.request());
    return route.fulfill({ ...answer, body: (await change(answer.body)) ?? answer.body });
  });
}

/** The bytes with one letter of a text in them changed; all of its places. */
export function alter(bytes, text) {
  const changed = Buffer.from(bytes);
  const wanted = Buffer.from(text);
  let found = 0;
  for (let at = changed.indexOf(wanted); at >= 0; at = changed.indexOf(wanted, at + 1)) {
    changed[at] ^= 0x01;
    found++;
  }
  return { changed, found };
}
