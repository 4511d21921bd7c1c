// The service worker: hashed files from the cache, the page from the network first, the network's interface never.
const VERSION = "__VERSION__";
const ASSETS = ["__ASSETS__"];
const CACHE = `assay-${VERSION}`;
// The same file answers every request for its name, whatever headers that has.
const ANYHOW = { ignoreVary: true };

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(["/", ...ASSETS])));
});

self.addEventListener("activate", (event) => {
  const old = async () => {
    for (const name of await caches.keys()) if (name.startsWith("assay-") && name !== CACHE) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(old());
});

self.addEventListener("message", ({ data }) => {
  if (data === "take over") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return;
  if (pathname.startsWith("/api/") || pathname.startsWith("/models/") || pathname.startsWith("/.well-known/")) return;
  if (request.mode === "navigate") event.respondWith(page(request));
  else if (pathname.startsWith("/assets/")) event.respondWith(asset(request));
});

/** An old page would speak with newer canisters, so the network's comes first. */
async function page(request) {
  try {
    const answer = await fetch(request);
    if (answer.ok) await (await caches.open(CACHE)).put("/", answer.clone());
    return answer;
  } catch (error) {
    const kept = await caches.match("/", ANYHOW);
    if (kept === undefined) throw error;
    return kept;
  }
}

/** Names of these files carry their hashes, so what is kept is never stale. */
async function asset(request) {
  const kept = await caches.match(request, ANYHOW);
  if (kept !== undefined) return kept;
  const answer = await fetch(request);
  if (answer.ok) await (await caches.open(CACHE)).put(request, answer.clone());
  return answer;
}
