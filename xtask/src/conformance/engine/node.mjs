// Runs the engine's WebAssembly in Node.js: `engine.mjs MODULE [MODEL TOKENS]` prints what the module says, line by line.
import { readFileSync } from "node:fs";

const [file, model, tokens] = process.argv.slice(2);
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
if (model === undefined) {
  instance.exports.variants();
} else {
  const bytes = readFileSync(model);
  const at = instance.exports.allocate(bytes.length) >>> 0;
  new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
  instance.exports.model(at, bytes.length, Number(tokens));
}
process.exitCode = failed ? 1 : 0;
