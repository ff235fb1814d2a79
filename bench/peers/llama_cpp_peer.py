"""llama.cpp (through llama-cpp-python) as a peer of `idlm bench`: JSON lines in, JSON lines out.

    python llama_cpp_peer.py MODEL.gguf THREADS CONTEXT
    {"op": "decode", "prompt": [ids], "tokens": 200}   -> {"ms": total, "tokens": n}
    {"op": "rows", "rows": 5, "context": 256}          -> {"ms": one forward}
    {"op": "prefill", "tokens": 512}                   -> {"ms": one forward}
    {"op": "batch", "sequences": 16, "prompt": 50, "tokens": 48} -> {"ms": total, "tokens": n}
    {"op": "quantise", "to": "PATH"}                   -> {"path": PATH} (Q4_0, by llama.cpp's own quantiser)
"""
import json
import sys
import time

import llama_cpp as lc


def main():
    model_path, threads, positions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    lc.llama_backend_init()
    silent = lc.llama_log_callback(lambda *_: None)
    lc.llama_log_set(silent, None)
    start = time.perf_counter()
    model_parameters = lc.llama_model_default_params()
    model = lc.llama_model_load_from_file(model_path.encode(), model_parameters)
    parameters = lc.llama_context_default_params()
    parameters.n_ctx = positions
    parameters.n_batch = parameters.n_ubatch = 512
    parameters.n_threads = parameters.n_threads_batch = threads
    parameters.n_seq_max = 16
    parameters.kv_unified = True
    context = lc.llama_init_from_model(model, parameters)
    load_ms = (time.perf_counter() - start) * 1000
    memory = lc.llama_get_memory(context)
    # The same ids as in src/bench/own-model.ts.
    n_ids = min(lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(model)), 40100) - 100
    greedy = lc.llama_sampler_init_greedy()
    batch = lc.llama_batch_init(512, 0, 1)

    def decode(tokens, position, all_logits, sequence=0):
        """One llama_decode of a chain in a sequence, with the logits of all rows or of the last."""
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = position + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = 1 if all_logits or i == len(tokens) - 1 else 0
        if lc.llama_decode(context, batch) != 0:
            raise RuntimeError("llama_decode failed")

    def clear(position=-1):
        lc.llama_memory_seq_rm(memory, -1 if position < 0 else 0, max(position, 0) if position >= 0 else -1, -1)

    filled = 0
    print(json.dumps({"ready": True, "loadMs": load_ms, "system": lc.llama_print_system_info().decode()}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        op = request["op"]
        if op == "decode":
            lc.llama_memory_clear(memory, False)
            filled = 0
            prompt = request["prompt"]
            decode(prompt, 0, False)
            token = lc.llama_sampler_sample(greedy, context, -1)
            start = time.perf_counter()
            for i in range(request["tokens"]):
                decode([token], len(prompt) + i, False)
                token = lc.llama_sampler_sample(greedy, context, -1)
            answer = {"ms": (time.perf_counter() - start) * 1000, "tokens": request["tokens"]}
        elif op == "rows":
            length = request["context"]
            if filled != length:
                lc.llama_memory_clear(memory, False)
                for at in range(0, length, 256):
                    decode([(7 * i) % n_ids + 100 for i in range(at, min(at + 256, length))], at, False)
                filled = length
            start = time.perf_counter()
            decode([(7 * i) % n_ids + 100 for i in range(request["rows"])], length, True)
            lc.llama_get_logits_ith(context, -1)
            answer = {"ms": (time.perf_counter() - start) * 1000}
            lc.llama_memory_seq_rm(memory, 0, length, -1)
        elif op == "prefill":
            lc.llama_memory_clear(memory, False)
            filled = 0
            start = time.perf_counter()
            decode([(7 * i) % n_ids + 100 for i in range(request["tokens"])], 0, False)
            lc.llama_get_logits_ith(context, -1)
            answer = {"ms": (time.perf_counter() - start) * 1000}
        elif op == "batch":
            # One token of every sequence in each llama_decode.
            lc.llama_memory_clear(memory, False)
            filled = 0
            count, length = request["sequences"], request["prompt"]
            tokens = []
            for s in range(count):
                decode([(31 * s + 7 * i) % n_ids + 100 for i in range(length)], 0, False, s)
                tokens.append(lc.llama_sampler_sample(greedy, context, -1))
            start = time.perf_counter()
            for step in range(request["tokens"]):
                batch.n_tokens = count
                for s in range(count):
                    batch.token[s] = tokens[s]
                    batch.pos[s] = length + step
                    batch.n_seq_id[s] = 1
                    batch.seq_id[s][0] = s
                    batch.logits[s] = 1
                if lc.llama_decode(context, batch) != 0:
                    raise RuntimeError("llama_decode failed")
                tokens = [lc.llama_sampler_sample(greedy, context, s) for s in range(count)]
            ms = (time.perf_counter() - start) * 1000
            answer = {"ms": ms, "tokens": count * request["tokens"]}
        elif op == "quantise":
            options = lc.llama_model_quantize_default_params()
            options.ftype = lc.LLAMA_FTYPE_MOSTLY_Q4_0
            options.allow_requantize = True
            options.nthread = threads
            lc.llama_model_quantize(model_path.encode(), request["to"].encode(), options)
            answer = {"path": request["to"]}
        else:
            answer = {"error": f"unknown op {op}"}
        print(json.dumps(answer), flush=True)


main()
