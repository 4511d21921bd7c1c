/// <reference types="vitest/config" />
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { engineModule } from "./build/engine.ts";
import { market } from "./build/market.ts";
import { serviceWorker } from "./build/service-worker.ts";
import { wellKnown } from "./build/well-known.ts";

const engine = fileURLToPath(new URL("../crates/engine-web/js", import.meta.url));

export default defineConfig({
  plugins: [svelte(), engineModule(), market(), serviceWorker(), wellKnown()],
  resolve: { alias: { $engine: engine } },
  build: {
    target: "es2022",
    // A `data:` address would be refused by the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 300,
    rolldownOptions: {
      output: {
        codeSplitting: {
          includeDependenciesRecursively: false,
          // What every page needs first, in one file, which weighs less than six.
          groups: [{ name: "first", test: /\/src\/lib\/(?:prefs|i18n\/index|router|session|theme)\.svelte\.ts$|\/src\/lib\/limits\.ts$/ }],
        },
      },
    },
  },
  worker: { format: "es" },
  server: { fs: { allow: [".", engine] } },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
