// The one policy by which addresses of scripts come into being: files of this origin, and no others.

interface Policy {
  createScriptURL(url: string): unknown;
}

interface Factory {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): Policy;
}

const factory = (globalThis as { trustedTypes?: Factory }).trustedTypes;

const policy = factory?.createPolicy("assay-scripts", {
  createScriptURL(url) {
    const { origin, pathname } = new URL(url, location.href);
    if (origin !== location.origin) throw new TypeError(`a script of another origin: ${url}`);
    return origin + pathname;
  },
});

/** A script's address that workers and the service worker may be made of. */
export function scriptUrl(url: string): string {
  return (policy === undefined ? url : policy.createScriptURL(url)) as string;
}
