import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createNativeBackend } from "../compute/native/index.ts";
import { openGguf } from "../formats/gguf/gguf.ts";
import { compileProgram } from "../model/compile.ts";
import type { ModelConfig } from "../model/config/config.ts";
import { configFromGguf } from "../model/config/gguf-config.ts";
import { openModel } from "../model/open/open-model.ts";
import { tokenizerFromGguf } from "../tokenizer/gguf-tokenizer.ts";
import { makeModel } from "./make-model.ts";
import { modelShapes } from "./model-shapes.ts";
import { OwnModel } from "./own-model.ts";
import { type TypeMixName, typeInMix, typeMixNames } from "./type-mix.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-make-model-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const tiny: ModelConfig = {
  ...(modelShapes["llama-3.2-1b"] as ModelConfig),
  nLayers: 2,
  hiddenSize: 256,
  nHeads: 4,
  nKvHeads: 1,
  headDim: 64,
  mlpSize: 512,
  vocabSize: 300,
};

async function make(name: string, config: ModelConfig, mix: TypeMixName, seed = 1): Promise<string> {
  const path = join(folder, `${name}.gguf`);
  await makeModel(path, { config, name, mix, seed });
  return path;
}

describe("makeModel", () => {
  it.each(typeMixNames)("writes a %s model that runs, with finite and distinct logits", async (mix) => {
    const opened = openModel(await make(mix, tiny, mix), "gguf");
    const model = await createNativeBackend({ threads: 1 }).load(compileProgram(opened));
    opened.close();
    try {
      const result = await new OwnModel(model, 1).forward(3, 0);
      const logits = result.logits(2);
      expect(logits).toHaveLength(tiny.vocabSize);
      expect(logits.every((value) => Number.isFinite(value))).toBe(true);
      expect(new Set(logits).size).toBeGreaterThan(tiny.vocabSize / 2);
    } finally {
      model.dispose();
    }
  });

  it("keeps the config, with Llama 3's scaled rotation as divisors", async () => {
    const opened = openModel(await make("config", tiny, "Q8_0"), "gguf");
    opened.close();
    const { rope, normEpsilon, ...rest } = tiny;
    expect(opened.config).toMatchObject(rest);
    expect(opened.config.normEpsilon).toBeCloseTo(normEpsilon, 10);
    expect(opened.config.rope).toMatchObject({ kind: "divisors", theta: rope.theta });
    const { divisors } = opened.config.rope as { readonly divisors: Float32Array };
    expect(divisors[0]).toBe(1);
    expect(divisors.at(-1)).toBeCloseTo(32, 4);
  });

  it("writes the same bytes for the same arguments, others for another seed", async () => {
    const paths = [make("a", tiny, "Q4_K_M"), make("b", tiny, "Q4_K_M"), make("c", tiny, "Q4_K_M", 2)];
    const [a, b, c] = (await Promise.all(paths)).map((path) => readFileSync(path));
    // The metadata differs in the name, which has the same length.
    const weights = (bytes: Buffer | undefined) => bytes?.subarray(bytes.length - 100_000);
    expect(weights(a)).toEqual(weights(b));
    expect(weights(a)).not.toEqual(weights(c));
  });

  it("has a vocabulary that can encode any text", async () => {
    const path = await make("words", tiny, "Q4_0");
    const file = openGguf(path);
    const tokenizer = tokenizerFromGguf(file.metadata, path);
    file.close();
    const text = "the tin\n\u0000 ½ 東京 🙂";
    expect(tokenizer?.decode(tokenizer.encode(text))).toBe(text);
  });

  it("rejects a vocabulary too small for all bytes", async () => {
    await expect(make("small", { ...tiny, vocabSize: 100 }, "Q4_0")).rejects.toThrow(/vocabulary of 100/);
  });
});

describe("typeInMix", () => {
  const allFixtures = join(import.meta.dirname, "../../../shared/fixtures/gguf");
  const ownFixtures = join(import.meta.dirname, "../../test/fixtures/gguf");
  const files = typeMixNames.flatMap((mix) => {
    const path = [allFixtures, ownFixtures].map((at) => join(at, `tiny256-${mix}.gguf`)).find((at) => existsSync(at));
    return path === undefined ? [] : [{ mix, path }];
  });

  it.each(files)("gives every matrix of llama.cpp's own $mix file its type", ({ mix, path }) => {
    const file = openGguf(path);
    const config = configFromGguf(file);
    for (const [name, { shape, type }] of file.tensors) {
      if (shape.length > 1) expect([name, typeInMix(mix, name, shape[1] ?? 0, config)]).toEqual([name, type]);
    }
    file.close();
  });

  it("gives Llama 3.2 1B in Q4_K_M the 96 Q4_K and 17 Q6_K matrices of the published file", () => {
    const config = modelShapes["llama-3.2-1b"] as ModelConfig;
    const modules = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    const names = Array.from({ length: 16 }, (_, layer) => modules.map((name) => `blk.${layer}.${name}.weight`)).flat();
    const types = ["token_embd.weight", ...names].map((name) => typeInMix("Q4_K_M", name, 2048, config));
    expect(types.filter((type) => type === "Q4_K")).toHaveLength(96);
    expect(types.filter((type) => type === "Q6_K")).toHaveLength(17);
  });

  it("falls back to blocks of 32 if rows do not fill blocks of 256", () => {
    const config = modelShapes["smollm2-135m"] as ModelConfig;
    expect(typeInMix("Q4_K_M", "blk.9.ffn_up.weight", 576, config)).toBe("Q5_0");
    expect(typeInMix("Q4_K_M", "token_embd.weight", 576, config)).toBe("Q8_0");
  });
});
