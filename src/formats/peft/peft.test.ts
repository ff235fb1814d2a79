import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSafetensors } from "../safetensors/safetensors.ts";
import { type TensorToWrite, tensorOf, writeSafetensors } from "../safetensors/safetensors-writer.ts";
import { readPeftAdapter } from "./peft.ts";
import { matchPatterns } from "./peft-config.ts";

const fixtures = join(import.meta.dirname, "../../../test/fixtures/peft");

describe("readPeftAdapter", () => {
  it.each(readdirSync(fixtures))("gives peft's scaling: %s", (name) => {
    const golden = JSON.parse(readFileSync(join(fixtures, name, "golden.json"), "utf8")) as {
      scaling: Record<string, number>;
    };
    const { modules } = readPeftAdapter(join(fixtures, name));
    expect(Object.fromEntries([...modules].map(([module, { scale }]) => [module, scale]))).toEqual(golden.scaling);
  });

  it("gives A [rank, in] and B [out, rank] under the base model's names", () => {
    const { modules, config } = readPeftAdapter(join(fixtures, "qwen3-tiny-patterns"));
    const q = modules.get("model.layers.1.self_attn.q_proj");
    expect(config).toMatchObject({ rank: 4, alpha: 8, targetModules: ["q_proj", "v_proj"], useRslora: false });
    expect(q).toMatchObject({ rank: 2, inSize: 64, outSize: 128 });
    expect(q?.a).toHaveLength(2 * 64);
    expect(q?.b).toHaveLength(128 * 2);
    expect(modules.get("model.layers.1.self_attn.v_proj")?.rank).toBe(6);
  });
});

describe("readPeftAdapter of unsupported adapters", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "idlm-peft-"));
    cpSync(join(fixtures, "llama-tiny-lora"), folder, { recursive: true });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function withConfig(changes: Readonly<Record<string, unknown>>): void {
    const original = JSON.parse(
      readFileSync(join(fixtures, "llama-tiny-lora", "adapter_config.json"), "utf8"),
    ) as object;
    writeFileSync(join(folder, "adapter_config.json"), JSON.stringify({ ...original, ...changes }));
  }

  function withTensors(change: (tensors: Map<string, TensorToWrite>) => void): void {
    const file = openSafetensors(join(fixtures, "llama-tiny-lora", "adapter_model.safetensors"));
    const tensors = new Map<string, TensorToWrite>(file.tensors);
    change(tensors);
    writeSafetensors(join(folder, "adapter_model.safetensors"), tensors);
    file.close();
  }

  it.each([
    ["use_dora", true],
    ["peft_type", "IA3"],
    ["bias", "lora_only"],
    ["modules_to_save", ["lm_head"]],
    ["layer_replication", [[0, 1]]],
    ["lora_bias", true],
    ["trainable_token_indices", [1]],
    ["init_lora_weights", "pissa"],
    ["target_parameters", ["mlp.experts.gate_up_proj"]],
    ["use_qalora", true],
    ["use_bdlora", { nblocks: 2 }],
    ["alora_invocation_tokens", [1, 2]],
    ["arrow_config", { top_k: 2 }],
    ["megatron_config", { a: 1 }],
    ["loftq_config", { loftq_bits: 4 }],
    ["corda_config", { a: 1 }],
    ["bias", "all"],
    ["init_lora_weights", "olora"],
    ["init_lora_weights", "corda"],
    ["init_lora_weights", "loftq"],
    ["a_key_of_tomorrow", "on"],
  ])("names the feature: %s %j", (key, value) => {
    withConfig({ [key]: value });
    expect(() => readPeftAdapter(folder)).toThrow(
      expect.objectContaining({
        code: "unsupported",
        message: expect.stringContaining(key === "peft_type" ? "IA3" : key),
      }),
    );
  });

  it.each([
    ["lm_head", "lm_head.lora_A.weight", /LoRA on lm_head is not supported.*without lm_head in target_modules/],
    ["lm_head", "lm_head.base_layer.weight", /LoRA on lm_head is not supported/],
    [
      "embed_tokens",
      "model.embed_tokens.lora_embedding_A",
      /LoRA on embed_tokens is not supported.*without embed_tokens/,
    ],
  ])("names %s if it is in the targets or in the weights (%s)", (module, tensor, message) => {
    const refused = expect.objectContaining({ code: "unsupported", message: expect.stringMatching(message) });
    withConfig({ target_modules: ["q_proj", module] });
    expect(() => readPeftAdapter(folder)).toThrow(refused);
    withConfig({ target_modules: ".*" });
    withTensors((tensors) => tensors.set(`base_model.model.${tensor}`, tensorOf(new Float32Array(4), [1, 4])));
    expect(() => readPeftAdapter(folder)).toThrow(refused);
    withTensors(() => {});
  });

  it("without any weights", () => {
    withConfig({});
    withTensors((tensors) => tensors.clear());
    expect(() => readPeftAdapter(folder)).toThrow(/tensors: expected weights of a LoRA, found none/);
    withTensors(() => {});
  });

  it("but takes fan_in_fan_out, which PEFT resets for linear layers", () => {
    withConfig({ fan_in_fan_out: true });
    expect(readPeftAdapter(folder).modules.size).toBeGreaterThan(0);
  });

  it.each([
    [{ r: 8 }, /lora_A.*expected shape \[8, in\]/],
    [{ r: 0 }, /r: expected a whole number/],
    [{ r: 1e9 }, /r: expected a whole number/],
    [{ lora_alpha: null }, /lora_alpha: expected a positive number up to 1000000000, found null/],
    [{ lora_alpha: 1e300 }, /lora_alpha: expected a positive number up to 1000000000, found 1e\+300/],
    [{ target_modules: ["q_proj"] }, /expected a module of target_modules/],
    [{ target_modules: [] }, /target_modules/],
    [{ layers_to_transform: [0] }, /layer 1: expected a layer of layers_to_transform/],
    [{ rank_pattern: { "(": 4 } }, /valid and fast regular expressions, found an invalid one/],
    [{ rank_pattern: { "(.*.*)*x": 4 } }, /takes too long/],
  ])("says what is wrong with %j", (changes, message) => {
    withConfig(changes);
    expect(() => readPeftAdapter(folder)).toThrow(message);
  });

  it("accepts all-linear and a pattern for target_modules", () => {
    const modules = "model\\.layers\\.\\d+\\.(self_attn|mlp)\\.\\w+_proj";
    const inPython = "(?i)model\\.LAYERS\\.(?P<layer>\\d+)\\..*_proj\\Z";
    for (const targets of ["all-linear", modules, inPython]) {
      withConfig({ target_modules: targets });
      expect(readPeftAdapter(folder).modules.size).toBe(14);
    }
  });

  const moduleName = "base_model.model.model.layers.1.mlp.up_proj";

  it("detects a module without one or both of its two factors", () => {
    withConfig({});
    withTensors((tensors) => tensors.delete(`${moduleName}.lora_B.weight`));
    expect(() => readPeftAdapter(folder)).toThrow(/up_proj".*expected lora_A and lora_B, found only lora_A/);
    withTensors((tensors) => [
      tensors.delete(`${moduleName}.lora_B.weight`),
      tensors.delete(`${moduleName}.lora_A.weight`),
    ]);
    expect(() => readPeftAdapter(folder)).toThrow(/"mlp.up_proj" of layer 1: expected weights, as in other layers/);
  });

  it("names a tensor of another adapter type", () => {
    withConfig({});
    withTensors((tensors) => {
      const tensor = tensors.get(`${moduleName}.lora_A.weight`);
      if (tensor !== undefined) tensors.set(`${moduleName}.lora_magnitude_vector`, tensor);
    });
    expect(() => readPeftAdapter(folder)).toThrow(/lora_magnitude_vector.*not supported/);
  });

  it("names the missing file", () => {
    rmSync(join(folder, "adapter_model.safetensors"));
    expect(() => readPeftAdapter(folder)).toThrow(/adapter_model.safetensors: no such file/);
  });
});

describe("matchPatterns", () => {
  const names = ["model.layers.1.mlp.up_proj", "model.layers.11.mlp.up_proj"];

  it("matches the whole name or a suffix after a dot, and the first pattern wins", () => {
    expect(matchPatterns([["layers.1.mlp.up_proj", 1]], names, "p", "f")).toEqual([1, undefined]);
    expect(
      matchPatterns(
        [
          ["up_proj", 1],
          ["layers.1.mlp.up_proj", 2],
        ],
        names,
        "p",
        "f",
      ),
    ).toEqual([1, 1]);
    expect(matchPatterns([["^layers.1.mlp.up_proj", 1]], names, "p", "f")).toEqual([undefined, undefined]);
    expect(matchPatterns([["^model.*", 1]], names, "p", "f")).toEqual([1, 1]);
    expect(matchPatterns([["p_proj", 1]], names, "p", "f")).toEqual([undefined, undefined]);
  });
});
