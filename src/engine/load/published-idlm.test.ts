import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSafetensors } from "../../formats/safetensors/safetensors.ts";
import { type TensorToWrite, tensorOf, writeSafetensors } from "../../formats/safetensors/safetensors-writer.ts";
import { toFloat32 } from "../../formats/tensor/dequantise.ts";
import { type Adapter, readAdapter } from "../../formats/adapter/adapter.ts";
import { openModel } from "../../model/open/open-model.ts";
import { load } from "../../index.ts";
import { Random, Stream } from "../../training/random.ts";
import { openProgram } from "./open-program.ts";

// Files in the layout of the published I-DLM-8B (a checkpoint with model_type sdar) and I-DLM-8B-lora-r128 (PEFT's files and
// a tokenizer with the added token <|MASK|>), made for the fixture qwen3-tiny.
const source = join(import.meta.dirname, "../../../test/fixtures/models/qwen3-tiny");
const root = mkdtempSync(join(tmpdir(), "idlm-published-"));
afterAll(() => rmSync(root, { recursive: true }));
const MASK = 319;
const checkpoint = join(root, "checkpoint");
const [separate, fused] = [join(root, "lora"), join(root, "lora-fused")];

beforeAll(() => {
  cpSync(source, checkpoint, { recursive: true });
  const path = join(source, "config.json");
  const config = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  const sdar = {
    ...config,
    architectures: ["SDARForCausalLM"],
    model_type: "sdar",
    block_size: 4,
    mask_token_id: MASK,
  };
  writeFileSync(join(checkpoint, "config.json"), JSON.stringify(sdar));
  makeAdapter(separate, false);
  makeAdapter(fused, true);
});

/** r = 128 and alpha = 256 on all projections, those of one input fused or not; the same terms in both. */
function makeAdapter(folder: string, isFused: boolean): void {
  mkdirSync(folder);
  const model = openModel(source, "huggingface");
  const tensors: Record<string, TensorToWrite> = {};
  const inputs = [
    ["self_attn.qkv_proj", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    ["self_attn.o_proj"],
  ];
  inputs.push(["mlp.gate_up_proj", "mlp.gate_proj", "mlp.up_proj"], ["mlp.down_proj"]);
  const targets = new Set<string>();
  for (let layer = 0; layer < model.config.nLayers; layer++) {
    for (const [i, [name = "", ...parts]] of inputs.entries()) {
      const modules = parts.length === 0 ? [name] : parts;
      const shapes = modules.map(
        (part) => model.weights.get(`model.layers.${layer}.${part}.weight`)?.tensor.shape ?? [],
      );
      const inSize = shapes[0]?.[1] ?? 0;
      const random = new Random(layer, Stream.parameters, i);
      const draw = (n: number) => Float32Array.from({ length: n }, () => random.normal() / 50);
      const a = draw(128 * inSize);
      const bs = shapes.map(([out = 0]) => draw(out * 128));
      const put = (module: string, b: Float32Array) => {
        const prefix = `base_model.model.model.layers.${layer}.${module}`;
        tensors[`${prefix}.lora_A.weight`] = tensorOf(a, [128, inSize]);
        tensors[`${prefix}.lora_B.weight`] = tensorOf(b, [b.length / 128, 128]);
        targets.add(module.slice(module.indexOf(".") + 1));
      };
      if (isFused) put(name, Float32Array.from(bs.flatMap((b) => [...b])));
      else for (const [k, module] of modules.entries()) put(module, bs[k] ?? new Float32Array());
    }
  }
  model.close();
  writeSafetensors(join(folder, "adapter_model.safetensors"), tensors, { format: "pt" });
  const config = { peft_type: "LORA", task_type: "CAUSAL_LM", r: 128, lora_alpha: 256, bias: "none", lora_dropout: 0 };
  const all = {
    ...config,
    target_modules: [...targets],
    base_model_name_or_path: "Qwen/Qwen3-8B",
    modules_to_save: null,
  };
  writeFileSync(join(folder, "adapter_config.json"), JSON.stringify(all));
  writeFileSync(join(folder, "added_tokens.json"), JSON.stringify({ "<|im_end|>": 2, "<|MASK|>": MASK }));
}

/** The row of the embedding that MASK rows are to be fed. */
function embeddingRow(): Float32Array {
  const file = openSafetensors(join(source, "model.safetensors"));
  const tensor = file.tensors.get("model.embed_tokens.weight") ?? expect.fail();
  const values = toFloat32(tensor).slice(MASK * 64, (MASK + 1) * 64);
  file.close();
  return values;
}

const ids = [5, 17, 42, 99, 7, 12, 230];
const request = { ids, maxTokens: 20, temperature: 0 };

async function maskParameter(path: string, adapter?: Adapter): Promise<Float32Array | undefined> {
  const location = { kind: "huggingface", path } as const;
  const { opened, program } = await openProgram(
    location,
    { usesMaskToken: true, ...(adapter && { adapter }) },
    undefined,
  );
  const { bytes } = program.parameters.mask_embedding ?? {};
  opened.close();
  expect(program.mask?.sharedByDepth).toBe(bytes === undefined ? undefined : true);
  return bytes && new Float32Array(bytes.slice().buffer);
}

describe("I-DLM models as published", () => {
  it("a checkpoint loads, feeds MASK rows its own token, and proposes without changing its output", async () => {
    expect(await maskParameter(checkpoint)).toEqual(embeddingRow());
    const model = await load(checkpoint, { threads: 1 });
    const plain = await model.generate({ ...request, propose: "none" }).result;
    const proposed = await model.generate({ ...request, propose: "mask", shape: "quadratic", stride: 4 }).result;
    await model.dispose();
    expect(proposed.tokens).toEqual(plain.tokens);
    expect(proposed.rounds.some(({ maskRows }) => maskRows > 0)).toBe(true);
  });

  it("an adapter loads, with fused projections or not, and acts on MASK rows only", async () => {
    const base = await load(source, { threads: 1 });
    const plain = await base.generate({ ...request, propose: "none" }).result;
    await base.dispose();
    const outcomes = [];
    for (const adapter of [separate, fused]) {
      expect(await maskParameter(source, readAdapter(adapter))).toEqual(embeddingRow());
      const model = await load(source, { adapter, threads: 1 });
      const result = await model.generate({ ...request, propose: "mask", shape: "chain", stride: 4 }).result;
      await model.dispose();
      expect(result.tokens).toEqual(plain.tokens);
      expect(result.rounds.some(({ maskRows }) => maskRows > 0)).toBe(true);
      outcomes.push(result.rounds);
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
  });

  it("names a MASK token that the model does not have, and leaves others without one as they are", async () => {
    const beyond = join(root, "beyond");
    cpSync(separate, beyond, { recursive: true });
    writeFileSync(join(beyond, "added_tokens.json"), JSON.stringify({ "<|MASK|>": 320 }));
    await expect(maskParameter(source, readAdapter(beyond))).rejects.toThrow(
      /<\|MASK\|> is token 320, the model has 320/,
    );
    rmSync(join(beyond, "added_tokens.json"));
    expect(await maskParameter(source, readAdapter(beyond))).toBeUndefined();
    const decoder = { added_tokens_decoder: { "319": { content: "<|MASK|>", special: true } } };
    writeFileSync(join(beyond, "tokenizer_config.json"), JSON.stringify(decoder));
    expect(await maskParameter(source, readAdapter(beyond))).toEqual(embeddingRow());
    expect(await maskParameter(source)).toBeUndefined();
    const config = join(checkpoint, "config.json");
    const text = readFileSync(config, "utf8");
    writeFileSync(config, text.replace(`"mask_token_id":${MASK}`, '"mask_token_id":320'));
    await expect(load(checkpoint)).rejects.toThrow(/mask_token_id: expected an id from 0 below 320, found 320/);
    writeFileSync(config, text);
  });
});
