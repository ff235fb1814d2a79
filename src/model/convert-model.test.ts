import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { makeModelFolder } from "../../test/support/model-folder.ts";
import { tokenTypes } from "../formats/gguf/gguf-vocabulary.ts";
import { openSafetensors } from "../formats/safetensors/safetensors.ts";
import { tensorOf, writeSafetensors } from "../formats/safetensors/safetensors-writer.ts";
import { toFloat32 } from "../formats/tensor/dequantise.ts";
import { load } from "../index.ts";
import { patterns } from "../tokenizer/pre-tokenizer.ts";
import { convertModel } from "./convert-model.ts";
import { openModel } from "./open/open-model.ts";
import { openTokenizer } from "./open/open-tokenizer.ts";

const models = join(import.meta.dirname, "../../test/fixtures/models");
const root = mkdtempSync(join(tmpdir(), "idlm-convert-"));
afterAll(() => rmSync(root, { recursive: true }));

const chat = join(root, "chat");
makeModelFolder(chat);

/** A copy of the chat model with a changed JSON file. */
function changed(name: string, file: string, change: (json: Record<string, unknown>) => object): string {
  const to = join(root, name);
  cpSync(chat, to, { recursive: true });
  const path = join(to, file);
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>)));
  return to;
}

const asSplit = (regex: string) => ({
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false },
    { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
  ],
});

describe("convertModel", () => {
  it.each(["llama-tiny", "llama-rope3", "qwen3-tiny"])(
    "writes %s with the tensors of llama.cpp's converter",
    async (name) => {
      const to = join(root, `${name}.gguf`);
      await convertModel(join(models, name), to, "F32");
      const [written, expected] = [to, join(models, name, "model.f32.gguf")].map((path) => openModel(path, "gguf"));
      expect(written?.config).toEqual(expected?.config);
      for (const [id, { tensor }] of expected?.weights ?? []) {
        const other = written?.weights.get(id)?.tensor;
        expect([other?.name, other?.type, other?.shape], id).toEqual([tensor.name, tensor.type, tensor.shape]);
        expect(Buffer.compare(other?.bytes ?? Buffer.of(), tensor.bytes), id).toBe(0);
      }
      expect(written?.metadata?.get("tokenizer.ggml.model")).toBe("none");
      written?.close();
      expected?.close();
    },
  );

  it.each(["llama-tiny", "qwen2-tiny", "qwen3-sharded"])(
    "writes %s so that it computes the same bits",
    async (name) => {
      const to = join(root, `same-${name}.gguf`);
      await convertModel(join(models, name), to, "F32");
      const texts: unknown[] = [];
      for (const path of [join(models, name), to]) {
        const model = await load(path, { threads: 1 });
        const { tokens, logprobs } = await model.generate({
          ids: [5, 9, 200, 17],
          maxTokens: 24,
          seed: 1,
          // A GGUF file without a tokenizer names no end, so that the folder's must not occur.
          logitBias: { 2: -100 },
          logprobs: 3,
        }).result;
        texts.push({ tokens, logprobs });
        await model.dispose();
      }
      expect(texts[1]).toEqual(texts[0]);
    },
  );

  it("keeps the tokenizer and the chat template", async () => {
    const to = join(root, "chat.gguf");
    await convertModel(chat, to, "Q8_0");
    const [from, written] = [
      openTokenizer({ kind: "huggingface", path: chat }),
      openTokenizer({ kind: "gguf", path: to }),
    ];
    const pieces = fc.oneof(fc.string(), fc.constantFrom("the ", "12", "\n", "<|im_end|>", "é☃𝄞", " don't"));
    fc.assert(
      fc.property(fc.array(pieces), fc.boolean(), (parts, special) => {
        const text = parts.join("");
        expect(written.encode(text, { special })).toEqual(from.encode(text, { special }));
      }),
      { numRuns: 40 },
    );
    expect(written.eosIds).toEqual(expect.arrayContaining([...from.eosIds]));
    expect([written.bosId, written.addsBos]).toEqual([from.bosId, from.addsBos]);
    const [folder, file] = [openModel(chat, "huggingface"), openModel(to, "gguf")];
    expect(file.vocabulary?.chatTemplate).toBe(folder.text?.chatTemplate ?? expect.fail());
    folder.close();
    file.close();
  });

  it("names the pre-tokenizer by its pattern", async () => {
    const qwen = changed("qwen", "tokenizer.json", (json) => ({
      ...json,
      normalizer: { type: "NFC" },
      pre_tokenizer: asSplit(patterns.qwen2),
    }));
    const llama = changed("llama", "tokenizer.json", (json) => ({
      ...json,
      pre_tokenizer: asSplit(patterns.llama3),
      model: { ...(json.model as object), ignore_merges: true },
    }));
    const names = [];
    for (const folder of [chat, qwen, llama]) {
      await convertModel(folder, `${folder}.gguf`, "BF16");
      const file = openModel(`${folder}.gguf`, "gguf");
      names.push(file.vocabulary?.pre);
      file.close();
    }
    expect(names).toEqual(["gpt-2", "qwen2", "llama-bpe"]);
  });

  it("fills rows without a token, and keeps vectors in float32", async () => {
    const folder = changed("rows", "tokenizer.json", ({ model, ...json }) => {
      const { vocab, merges, ...rest } = model as { readonly vocab: object; readonly merges: readonly string[] };
      const kept = Object.entries(vocab).filter(([, id]) => id !== 319);
      return { ...json, model: { ...rest, vocab: Object.fromEntries(kept), merges: merges.slice(0, -1) } };
    });
    const to = join(root, "rows.gguf");
    await convertModel(folder, to, "Q8_0");
    const file = openModel(to, "gguf");
    expect(file.vocabulary?.tokens.at(-1)).toBe("[PAD319]");
    expect(file.vocabulary?.types[319]).toBe(tokenTypes.unused);
    const types = [...file.weights].map(([name, { tensor }]) => [name.replace(/^.*\.(?=\w+\.)/, ""), tensor.type]);
    expect(Object.fromEntries(types)).toMatchObject({ "q_proj.weight": "Q8_0", "norm.weight": "F32" });
    file.close();
  });

  it.each([
    [
      "a pre-tokenizer without a name",
      "tokenizer.json",
      { pre_tokenizer: asSplit("a+") },
      /combination of pre-tokenizer/,
    ],
    [
      "a flag of a token",
      "tokenizer.json",
      { added_tokens: [{ id: 319, content: "ain", special: true, lstrip: true }] },
      /lstrip of the added token/,
    ],
    ["more ends than names", "generation_config.json", { eos_token_id: [10, 11, 12, 13] }, /token 13 as one of 5 ends/],
    [
      "YaRN without truncation",
      "config.json",
      { rope_scaling: { rope_type: "yarn", factor: 2, original_max_position_embeddings: 128, truncate: false } },
      /YaRN without truncation/,
    ],
  ])("refuses %s", async (name, file, keys, message) => {
    const folder = changed(`refused ${name}`, file, (json) => ({ ...json, ...keys }));
    const to = join(folder, "model.gguf");
    await expect(convertModel(folder, to, "Q8_0")).rejects.toThrow(message);
    expect(existsSync(to)).toBe(false);
  });

  it("refuses weights that are not finite, leaving no file", async () => {
    const folder = changed("infinite", "config.json", (json) => json);
    const path = join(folder, "model.safetensors");
    const file = openSafetensors(path);
    const tensors = new Map(
      [...file.tensors].map(([name, tensor]) => [name, tensorOf(toFloat32(tensor), tensor.shape)] as const),
    );
    file.close();
    const norm = new Float32Array(64).fill(Number.POSITIVE_INFINITY);
    tensors.set("model.norm.weight", tensorOf(norm, [64]));
    writeSafetensors(path, tensors);
    await expect(convertModel(folder, join(root, "infinite.gguf"), "Q8_0")).rejects.toThrow(
      /model.norm.weight.*finite/s,
    );
    expect(existsSync(join(root, "infinite.gguf"))).toBe(false);
  });

  it("keeps YaRN's parameters", async () => {
    const rope = {
      factor: 4,
      original_max_position_embeddings: 128,
      beta_fast: 16,
      beta_slow: 2,
      attention_factor: 1.25,
    };
    const folder = changed("yarn", "config.json", ({ rope_parameters: _, ...json }) => ({
      ...json,
      rope_scaling: { rope_type: "yarn", ...rope },
    }));
    const to = join(root, "yarn.gguf");
    await convertModel(folder, to, "F32");
    const file = openModel(to, "gguf");
    const expected = { kind: "yarn", factor: 4, originalContext: 128, betaFast: 16, betaSlow: 2, truncate: true };
    expect(file.config.rope).toMatchObject(expected);
    expect((file.config.rope as { attentionFactor?: number }).attentionFactor).toBeCloseTo(1.25, 6);
    file.close();
  });
});
