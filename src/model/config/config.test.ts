import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fixtures } from "../../../test/support/backend-contract.ts";
import { readAdapter } from "../../formats/adapter/adapter.ts";
import { compileProgram } from "../compile.ts";
import { configFromHuggingFace } from "./huggingface-config.ts";
import { openModel } from "../open/open-model.ts";
import { ggufName } from "../open/weight-names.ts";

const path = join(fixtures, "models", "llama-tiny", "config.json");
const json = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;

/** Types of the layers, one after the other. */
const types = (...each: readonly string[]) =>
  Array.from({ length: Number(json.num_hidden_layers) }, (_, layer) => each[layer % each.length]);

describe("config.json", () => {
  it.each([
    ["another architecture", { model_type: "bert" }, "unsupported"],
    ["another activation", { hidden_act: "gelu" }, "unsupported"],
    ["a bias in the MLP", { mlp_bias: true }, "unsupported"],
    [
      "a sliding window of a Llama model",
      { use_sliding_window: true, sliding_window: 64, max_window_layers: 0 },
      "unsupported",
    ],
    ["sliding layers of a Llama model", { layer_types: types("sliding_attention", "full_attention") }, "unsupported"],
    ["a rope factor without a type", { rope_parameters: undefined, rope_scaling: { factor: 2 } }, "unsupported"],
    ["rope parameters by layer type", { rope_parameters: { full_attention: { rope_theta: 1e4 } } }, "unsupported"],
    ["two rope scalings", { rope_scaling: { rope_type: "linear", factor: 2 } }, "unsupported"],
    ["chunked attention", { attention_chunk_size: 64 }, "unsupported"],
    ["types of layers that are not one each", { layer_types: ["full_attention"] }, "file-malformed"],
    ["a part of the head rotated", { partial_rotary_factor: 0.5 }, "unsupported"],
    ["quantised weights", { quantization_config: { bits: 4 } }, "unsupported"],
    ["an unknown rope type", { rope_parameters: { rope_type: "longrope", rope_theta: 1e4 } }, "unsupported"],
    ["no heads", { num_attention_heads: 0 }, "file-malformed"],
    ["heads that KV heads do not divide", { num_key_value_heads: 3 }, "file-malformed"],
    ["a fraction of a layer", { num_hidden_layers: 1.5 }, "file-malformed"],
    ["a vocabulary of 2^40", { vocab_size: 2 ** 40 }, "file-malformed"],
    ["a size that is text", { hidden_size: "64" }, "file-malformed"],
    ["a missing size", { hidden_size: undefined }, "file-malformed"],
    ["a negative epsilon", { rms_norm_eps: -1 }, "file-malformed"],
    ["an infinite theta", { rope_parameters: { rope_type: "default", rope_theta: 1e300 } }, "file-malformed"],
  ])("rejects %s", (_, change, code) => {
    expect(() => configFromHuggingFace({ ...json, ...change }, path)).toThrow(expect.objectContaining({ code }));
  });

  it("accepts a sliding window that no layer uses", () => {
    const change = { use_sliding_window: true, sliding_window: 64, max_window_layers: json.num_hidden_layers };
    expect(configFromHuggingFace({ ...json, ...change }, path)).toEqual(configFromHuggingFace(json, path));
  });

  it.each([
    ["not without use_sliding_window", { layer_types: ["sliding_attention", "sliding_attention"] }, undefined],
    ["not where it is null", { use_sliding_window: true, sliding_window: null, max_window_layers: 0 }, undefined],
    ["not before max_window_layers, by default 28", { use_sliding_window: true, sliding_window: 8 }, undefined],
    [
      "from max_window_layers on",
      { use_sliding_window: true, sliding_window: 8, max_window_layers: 1 },
      [undefined, 8],
    ],
    [
      "where layer_types says, whatever max_window_layers is",
      {
        use_sliding_window: true,
        sliding_window: 8,
        max_window_layers: 28,
        layer_types: ["sliding_attention", "full_attention"],
      },
      [8, undefined],
    ],
    ["of 4096 positions by default", { use_sliding_window: true, max_window_layers: 1 }, [undefined, 4096]],
  ])("a Qwen2 or Qwen3 layer has a window: %s", (_, change, expected) => {
    for (const model_type of ["qwen2", "qwen3"]) {
      const config = configFromHuggingFace({ ...json, num_hidden_layers: 2, model_type, ...change }, path);
      expect(config.slidingWindows).toEqual(expected);
    }
  });

  it("gives a config or an error of the catalogue for any value of any key", () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(json)), fc.jsonValue(), (key, value) => {
        try {
          const config = configFromHuggingFace({ ...json, [key]: value }, path);
          expect(config.nHeads % config.nKvHeads).toBe(0);
        } catch (error) {
          expect(error).toMatchObject({ name: "IdlmError" });
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("openModel", () => {
  it.each([
    ["gguf-no-architecture.gguf", /general\.architecture/],
    ["gguf-no-attn-q.gguf", /blk\.0\.attn_q\.weight/],
    ["gguf-head-count-0.gguf", /head_count/],
  ])("rejects %s", (name, message) => {
    expect(() => openModel(join(fixtures, "hostile", name), "gguf")).toThrow(message);
  });

  it.each(["gguf-valid.gguf", "gguf-align-64.gguf", "gguf-trailing-bytes.gguf"])("opens %s", (name) => {
    const model = openModel(join(fixtures, "hostile", name), "gguf");
    expect(compileProgram(model).sizes.vocabSize).toBe(264);
    model.close();
  });

  it("uses GGUF's names for weights", () => {
    expect(ggufName("model.layers.12.self_attn.q_proj.weight")).toBe("blk.12.attn_q.weight");
    expect(ggufName("model.embed_tokens.weight")).toBe("token_embd.weight");
    expect(ggufName("lm_head.weight")).toBe("output.weight");
  });
});

describe("an adapter with fused projections", () => {
  it.each([
    ["self_attn.qkv_proj", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]],
    ["mlp.gate_up_proj", ["mlp.gate_proj", "mlp.up_proj"]],
  ] as const)("%s is the one of its parts", (name, parts) => {
    const opened = openModel(join(fixtures, "models/llama-tiny"), "huggingface");
    const own = readAdapter(join(fixtures, "peft/llama-tiny-lora"));
    const lora = own.peft ?? expect.fail();
    const modulesOf = (names: readonly string[]) => names.map((part) => lora.modules.get(`model.layers.1.${part}`));
    const modules = modulesOf(parts).filter((module) => module !== undefined);
    const [first] = modules;
    if (first === undefined) throw new Error("no module");
    const outSize = modules.reduce((sum, module) => sum + module.outSize, 0);
    const whole = { ...first, outSize, b: Float32Array.from(modules.flatMap(({ b }) => [...b])) };
    const adapterOf = (module: typeof whole) => {
      const peft = { ...lora, modules: new Map([[`model.layers.1.${name}`, module]]) };
      return { adapter: { ...own, peft } };
    };
    const { forward, parameters } = compileProgram(opened, adapterOf(whole));
    const terms = forward.flatMap((operation) => (operation.kind === "lora" ? [operation.parameters] : []));
    expect(terms.map(({ a }) => a)).toEqual(parts.map((part) => `model.layers.1.${part}.lora_A`));
    const bytesOf = (floats: Float32Array | undefined) =>
      floats && new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
    for (const [i, { a, b }] of terms.entries()) {
      expect(parameters[a]?.bytes).toEqual(bytesOf(first.a));
      expect(parameters[b]?.bytes).toEqual(bytesOf(modules[i]?.b));
    }
    expect(() => compileProgram(opened, adapterOf({ ...whole, outSize: outSize - 1 }))).toThrow(/no linear layer/);
    opened.close();
  });
});

describe("an adapter for another model", () => {
  it.each([
    ["models/qwen3-tiny", "idlm/llama-tiny-entry0"],
    ["models/llama-tiny", "peft/qwen3-tiny-lora"],
  ])("%s with %s is rejected", (model, adapter) => {
    const opened = openModel(join(fixtures, model), "huggingface");
    expect(() => compileProgram(opened, { adapter: readAdapter(join(fixtures, adapter)) })).toThrow(
      expect.objectContaining({ code: "adapter-mismatch" }),
    );
    opened.close();
  });

  it("is detected by the SHA-256 of its base model", () => {
    const opened = openModel(join(fixtures, "models/llama-tiny"), "huggingface");
    const own = readAdapter(join(fixtures, "idlm/llama-tiny-entry0"));
    const adapter = { ...own, idlm: own.idlm && { ...own.idlm, baseSha256: "a".repeat(64) } };
    expect(() => compileProgram(opened, { adapter, modelSha256: "b".repeat(64) })).toThrow(/SHA-256/);
    expect(compileProgram(opened, { adapter, modelSha256: "a".repeat(64) }).mask?.nDepths).toBe(3);
    opened.close();
  });
});
