// Runs a program built for wasm32-wasip1 under Node.js. As cargo's runner it tests the kernels of SIMD128, from the repository's root:
//
//   CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings $PWD/crates/engine/tests/wasi.mjs" RUSTFLAGS="-C target-feature=+simd128" \
//     cargo test --locked --release -p assay-engine --lib --no-default-features --features std --target wasm32-wasip1
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { WASI } from 'node:wasi';

const [, , program, ...args] = process.argv;
const wasi = new WASI({
  version: 'preview1',
  args: [program, ...args],
  env: process.env,
  preopens: { '/': '/' },
});
const module = await WebAssembly.compile(await readFile(program));
process.exit(wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject())));

