// Writes `sw.js`: the service worker with the list of hashed files that it keeps for offline use.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** Kept on install: what pages are made of. Fonts of other scripts and the engine's module are kept when first used. */
const KEPT = /\.(js|css)$|-latin-wght-normal.*\.woff2$|mono-latin-400-normal.*\.woff2$/;

export function serviceWorker(): Plugin {
  let out = "dist";
  return {
    name: "assay-service-worker",
    apply: "build",
    configResolved(config) {
      out = join(config.root, config.build.outDir);
    },
    writeBundle() {
      const assets = readdirSync(join(out, "assets"))
        .filter((name) => KEPT.test(name))
        .sort()
        .map((name) => `/assets/${name}`);
      const index = readFileSync(join(out, "index.html"));
      const version = createHash("sha256").update(index).update(assets.join()).digest("hex").slice(0, 12);
      const source = readFileSync(new URL("../src/sw.js", import.meta.url), "utf8");
      const text = source.replace('"__VERSION__"', JSON.stringify(version)).replace('["__ASSETS__"]', JSON.stringify(assets));
      writeFileSync(join(out, "sw.js"), text);
    },
  };
}
