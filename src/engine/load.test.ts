import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { load } from "./load.ts";
import type { GenerateRequest, Model } from "./types.ts";

const fixtures = join(import.meta.dirname, "../../test/fixtures");
const llama = join(fixtures, "models/llama-tiny");
const golden = JSON.parse(readFileSync(join(llama, "golden.json"), "utf8")) as { input_ids: number[]; greedy: number[] };

describe.each(["reference", "native"] as const)("a tiny model on the %s backend", (backend) => {
  let plain: Model;
  let adapted: Model[];
  beforeAll(async () => {
    plain = await load(llama, { backend });
    adapted = await Promise.all([0, 1].map((e) => load(llama, { backend, adapter: join(fixtures, `idlm/llama-tiny-entry${e}`) })));
  });
  afterAll(async () => {
    await Promise.all([plain, ...adapted].map((model) => model.dispose()));
  });
  const write = async (model: Model, request: GenerateRequest) => {
    const generation = model.generate(request);
    const tokens: number[] = [];
    for await (const part of generation) tokens.push(...part.tokens);
    const result = await generation.result;
    expect(result.tokens).toEqual(tokens);
    return result;
  };

  it("continues the prompt as PyTorch does, greedily", async () => {
    const { tokens, forwards, tokensPerForward, finishReason } = await write(plain, {
      ids: golden.input_ids,
      maxTokens: golden.greedy.length,
      propose: "none",
    });
    expect(tokens).toEqual(golden.greedy);
    expect(forwards).toBe(golden.greedy.length);
    expect(tokensPerForward).toBe(1);
    expect(finishReason).toBe("length");
  });

  it("writes the same tokens with an adapter's MASK rows and with lookup, at any stride and temperature", async () => {
    const requests = fc.record({
      ids: fc.array(fc.integer({ min: 3, max: 300 }), { minLength: 1, maxLength: 20 }),
      maxTokens: fc.integer({ min: 1, max: 24 }),
      temperature: fc.constantFrom(0, 0.3, 1),
      seed: fc.nat(),
      repetitionPenalty: fc.constantFrom(1, 1.2),
      frequencyPenalty: fc.constantFrom(0, 0.5),
      logprobs: fc.constantFrom(undefined, 2),
    });
    const ways = fc.record({ entry: fc.constantFrom(0, 1), propose: fc.constantFrom("mask" as const, "lookup" as const), shape: fc.constantFrom("chain" as const, "quadratic" as const), stride: fc.integer({ min: 1, max: 4 }) });
    await fc.assert(
      fc.asyncProperty(requests, ways, async (request, { entry, ...way }) => {
        const expected = await write(plain, { ...request, propose: "none" });
        const found = await write(adapted[entry] as Model, { ...request, ...way });
        expect(found.tokens).toEqual(expected.tokens);
        // The reference is outside the same-bits promise, so only the native backend's bits are compared.
        if (backend === "native") expect(found.logprobs).toEqual(expected.logprobs);
        expect(found.forwards).toBeLessThanOrEqual(expected.forwards);
      }),
      { numRuns: backend === "native" ? 150 : 15 },
    );
  });
});
