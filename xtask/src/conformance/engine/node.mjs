// Runs the engine's WebAssembly in Node.js: `node.mjs MODULE [MODELS | MODEL TOKENS]` prints what the module says, line by line;
// with a number, each variant runs only so many of the tiny models.
import { readFileSync } from "node:fs";

const [file, what, tokens] = process.argv.slice(2);
let failed = false;
let memory;
const text = (at, length) => new TextDecoder().decode(new Uint8Array(memory.buffer, at, length));
const host = {
  line(at, length) {
    const line = text(at >>> 0, length);
    failed ||= line.startsWith("fail");
    console.log(line);
  },
};
const { instance } = await WebAssembly.instantiate(readFileSync(file), { host });
memory = instance.exports.memory;
if (tokens === undefined) {
  instance.exports.variants(Number(what ?? 0));
} else {
  const bytes = readFileSync(what);
  const at = instance.exports.allocate(bytes.length) >>> 0;
  new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
  instance.exports.model(at, bytes.length, Number(tokens));
}
process.exitCode = failed ? 1 : 0;
