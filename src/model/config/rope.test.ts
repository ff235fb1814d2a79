import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  fixtures,
  forestOf,
  golden,
  goldenTensors,
  largestDifference,
  runForest,
} from "../../../test/support/backend-contract.ts";
import { createReferenceBackend } from "../../compute/reference/index.ts";
import { compileProgram } from "../compile.ts";
import { configFromHuggingFace } from "./huggingface-config.ts";
import { openModel } from "../open/open-model.ts";
import { ropeFrequencies } from "./rope.ts";

// Goldens from transformers: test/fixtures/make/rope.py.
describe("rope scalings agree with transformers", () => {
  it.each(["linear", "yarn", "yarn-explicit"])("%s", async (name) => {
    const path = join(fixtures, "rope", name, "config.json");
    const config = configFromHuggingFace(JSON.parse(readFileSync(path, "utf8")), path);
    const opened = openModel(join(fixtures, "models", "llama-tiny"), "huggingface");
    const model = await createReferenceBackend().load(compileProgram({ ...opened, config }));
    opened.close();
    const { input_ids, noise } = golden("rope", name, "golden.json");
    const result = await runForest(model, forestOf({ tokens: input_ids }));
    const logits = input_ids.map((_: number, row: number) => result.logits(row));
    const expected = goldenTensors("rope", name, "golden.safetensors").get("logits");
    expect(largestDifference(logits, expected)).toBeLessThanOrEqual(8 * noise);
    // The unscaled model differs, so the fixture can detect errors.
    const plain = compileProgram({ ...opened, config: { ...config, rope: { kind: "default", theta: 10_000 } } });
    expect(plain.rope.inverseFrequencies).not.toEqual(ropeFrequencies(config.rope, config.headDim).inverseFrequencies);
  });

  it("the older layout of transformers 4 gives the same model", () => {
    for (const name of ["llama-tiny", "llama-rope3", "qwen2-tiny", "qwen3-tiny", "qwen3-sharded"]) {
      const read = (file: string) => {
        const path = join(fixtures, "models", name, file);
        return configFromHuggingFace(JSON.parse(readFileSync(path, "utf8")), path);
      };
      expect(read("config.transformers-4.json")).toEqual(read("config.json"));
    }
  });
});
