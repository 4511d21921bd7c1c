"""Runs the engine's WebAssembly in wasmtime: `run_wasmtime.py MODULE [MODELS | MODEL TOKENS]` prints what the module says, line by
line; with a number, each variant runs only so many of the tiny models."""

import sys

from wasmtime import Engine, Func, FuncType, Instance, Module, Store, ValType

BITS = 0xFFFFFFFF


def main() -> int:
    module, *what = sys.argv[1:]
    store = Store(Engine())
    failed = False
    memory = None

    def line(at: int, length: int) -> None:
        nonlocal failed
        start = at & BITS
        text = memory.read(store, start, start + (length & BITS)).decode()
        failed = failed or text.startswith("fail")
        print(text, flush=True)

    host = Func(store, FuncType([ValType.i32(), ValType.i32()], []), line)
    instance = Instance(store, Module.from_file(store.engine, module), [host])
    exports = instance.exports(store)
    memory = exports["memory"]
    if len(what) == 2:
        path, tokens = what
        with open(path, "rb") as file:
            data = file.read()
        at = exports["allocate"](store, len(data))
        memory.write(store, data, at & BITS)
        exports["model"](store, at, len(data), int(tokens))
    else:
        exports["variants"](store, int(what[0]) if what else 0)
    return int(failed)


sys.exit(main())
