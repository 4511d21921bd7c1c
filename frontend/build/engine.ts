// The engine's module, as `cargo xtask web` builds it: `virtual:engine` gives its address.
import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";

const ID = "virtual:engine";
const folder = process.env["ASSAY_ENGINE_WEB"] ?? fileURLToPath(new URL("../../target/web", import.meta.url));
const file = `${folder}/engine.wasm`;
const DEV_PATH = "/@engine/engine.wasm";

export function engineModule(): Plugin {
  let building = false;
  return {
    name: "assay-engine",
    configResolved(config) {
      building = config.command === "build";
    },
    resolveId: (id) => (id === ID ? `\0${ID}` : undefined),
    load(id) {
      if (id !== `\0${ID}`) return undefined;
      if (!building) return `export default ${JSON.stringify(DEV_PATH)};`;
      if (!existsSync(file)) this.error(`${file} is not there; build it with: cargo xtask web`);
      const source = readFileSync(file);
      const hash = createHash("sha256").update(source).digest("hex").slice(0, 12);
      const name = `assets/engine-${hash}.wasm`;
      this.emitFile({ type: "asset", fileName: name, source });
      return `export default ${JSON.stringify(`/${name}`)};`;
    },
    configureServer(server) {
      server.middlewares.use(DEV_PATH, (_, to) => {
        to.writeHead(200, { "content-type": "application/wasm" });
        createReadStream(file).pipe(to);
      });
    },
  };
}
