// Lists what every built file weighs when compressed, and fails when a budget is passed.
import { readFileSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";

const KB = 1000;
const BUDGETS = {
  "first paint, JS": 25 * KB,
  "first paint, CSS": 8 * KB,
  "agent chunk": 75 * KB,
  "any other chunk": 65 * KB,
  "chat page, JS beyond the first paint": 40 * KB,
};

const dist = new URL("../dist/", import.meta.url);
const size = (path) => gzipSync(readFileSync(new URL(path, dist)), { level: 9 }).length;
const files = readdirSync(new URL("assets/", dist)).filter((name) => /\.(js|css)$/.test(name));
const sizes = new Map(files.map((name) => [name, size(`assets/${name}`)]));

/** A script, and what it imports before it runs. */
function closure(names, seen = new Set()) {
  for (const name of names) {
    if (seen.has(name)) continue;
    seen.add(name);
    const source = readFileSync(new URL(`assets/${name}`, dist), "utf8");
    const imports = [...source.matchAll(/(?:^|[;}\s])import(?:[^"'()]*?from)?\s*["']\.\/([^"']+\.js)["']/g)].map(([, file]) => file);
    closure(imports, seen);
  }
  return seen;
}

const sum = (names) => [...names].reduce((total, name) => total + (sizes.get(name) ?? 0), 0);
const index = readFileSync(new URL("index.html", dist), "utf8");
const named = (kind) => [...index.matchAll(new RegExp(`/assets/([^"]+\\.${kind})"`, "g"))].map(([, name]) => name);
// The words of one language are loaded before anything is drawn.
const words = files.filter((name) => /^frame-.*\.js$/.test(name)).sort((a, b) => sizes.get(b) - sizes.get(a))[0];
const first = closure([...named("js"), words].filter(Boolean));
const chat = closure(files.filter((name) => /^(Chat|ChatList|chat)-.*\.js$/.test(name)).slice(0, 4));
const beyond = [...chat].filter((name) => !first.has(name));

const found = {
  "first paint, JS": sum(first),
  "first paint, CSS": sum(named("css")),
  "agent chunk": Math.max(...files.filter((name) => /^agent-/.test(name)).map((name) => sizes.get(name))),
  "any other chunk": Math.max(...files.filter((name) => !/^agent-/.test(name)).map((name) => sizes.get(name))),
  "chat page, JS beyond the first paint": sum(beyond),
};

const kb = (bytes) => `${(bytes / KB).toFixed(1).padStart(7)} kB`;
for (const [name, bytes] of [...sizes].sort((a, b) => b[1] - a[1])) {
  console.log(`${kb(bytes)}  ${first.has(name) || named("css").includes(name) ? "first" : "     "}  ${name}`);
}
console.log();
let passed = true;
for (const [name, limit] of Object.entries(BUDGETS)) {
  const good = found[name] <= limit;
  passed &&= good;
  console.log(`${good ? "ok  " : "FAIL"} ${kb(found[name])} of ${kb(limit)}  ${name}`);
}
process.exitCode = passed ? 0 : 1;
