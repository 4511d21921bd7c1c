"""Measures llama.cpp through its C interface, as `cargo xtask bench engine` asks: one measurement a process.

measure.py MODEL THREADS PROMPT OUTPUT CONTEXT SEQUENCES   prints one JSON object
measure.py --quantize SOURCE TARGET                        makes a Q8_0 file of another one

The clock runs around `llama_decode` alone; Python's own work per token is some microseconds.
"""

import ctypes
import json
import sys
import time

import llama_cpp as llama


def quantize(source, target):
    params = llama.llama_model_quantize_default_params()
    params.ftype = llama.LLAMA_FTYPE_MOSTLY_Q8_0
    params.allow_requantize = True
    code = llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
    if code != 0:
        sys.exit(f"llama.cpp could not quantise {source}: code {code}")


def tokens(count):
    """The prompt that our own measurement takes."""
    return [500 + i * 7 % 1000 for i in range(count)]


def decode(context, ids):
    array = (llama.llama_token * len(ids))(*ids)
    code = llama.llama_decode(context, llama.llama_batch_get_one(array, len(ids)))
    if code != 0:
        sys.exit(f"llama_decode gave {code}")
    # What a caller would read; without it nothing is forced to be there.
    return llama.llama_get_logits_ith(context, -1)[0]


def decode_together(context, batch, ids, position):
    """One token for every sequence."""
    for i, token in enumerate(ids):
        batch.token[i] = token
        batch.pos[i] = position
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = i
        batch.logits[i] = 1
    batch.n_tokens = len(ids)
    code = llama.llama_decode(context, batch)
    if code != 0:
        sys.exit(f"llama_decode gave {code}")
    return llama.llama_get_logits_ith(context, -1)[0]


def measure(path, threads, prompt, output, length, sequences):
    begin = time.perf_counter()
    model_params = llama.llama_model_default_params()
    model_params.n_gpu_layers = 0
    model = llama.llama_model_load_from_file(path.encode(), model_params)
    if not model:
        sys.exit(f"llama.cpp cannot load {path}")
    params = llama.llama_context_default_params()
    params.n_ctx = length * sequences
    params.n_batch = max(prompt, sequences)
    params.n_ubatch = min(max(prompt, sequences), 512)
    params.n_seq_max = sequences
    params.n_threads = threads
    params.n_threads_batch = threads
    context = llama.llama_init_from_model(model, params)
    if not context:
        sys.exit("llama.cpp cannot make a context")
    load = time.perf_counter() - begin
    # The first token pages the weights in; it counts as cold.
    decode(context, [500])
    first = time.perf_counter() - begin
    memory = llama.llama_get_memory(context)
    llama.llama_memory_clear(memory, True)

    result = {"load_s": load, "cold_first_token_s": first}
    if sequences > 1:
        batch = llama.llama_batch_init(sequences, 0, 1)
        decode_together(context, batch, tokens(sequences), 0)
        begin = time.perf_counter()
        for i in range(output):
            decode_together(context, batch, tokens(sequences), i + 1)
        result["decode"] = output * sequences / (time.perf_counter() - begin)
        llama.llama_batch_free(batch)
    else:
        begin = time.perf_counter()
        ids = tokens(prompt)
        # Whole batches of 512, as its own benchmark does.
        for at in range(0, prompt, 512):
            decode(context, ids[at : at + 512])
        seconds = time.perf_counter() - begin
        result["prefill"] = prompt / seconds
        result["first_token_s"] = seconds
        begin = time.perf_counter()
        for i in range(output):
            decode(context, [500 + i * 7 % 1000])
        result["decode"] = output / (time.perf_counter() - begin)
    print(json.dumps(result))


def main():
    # Its loader talks; what is printed here is one object.
    silent = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(silent, ctypes.c_void_p(0))
    llama.llama_backend_init()
    if sys.argv[1] == "--quantize":
        quantize(*sys.argv[2:])
    elif sys.argv[1] == "--features":
        print(llama.llama_print_system_info().decode())
    else:
        measure(sys.argv[1], *map(int, sys.argv[2:]))


main()
