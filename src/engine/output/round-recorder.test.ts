import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { engineOver, fakeEngine } from "../../../test/support/fake-engine.ts";
import { FakeModel } from "../../../test/support/fake-model.ts";
import { fakeTokenizer } from "../../../test/support/fake-tokenizer.ts";
import type { GenerationResult, RoundRecord } from "../types.ts";

const settings = {
  shape: fc.constantFrom("chain", "quadratic", "tree", "auto"),
  verify: fc.constantFrom("exact", "rejection"),
  stride: fc.integer({ min: 1, max: 4 }),
  seed: fc.nat(1000),
  maxTokens: fc.integer({ min: 1, max: 40 }),
} as const;

function checkRecords(records: readonly RoundRecord[], result: GenerationResult): void {
  const tokens = records.flatMap((record) => record.tokens);
  expect(tokens.map(({ id }) => id)).toEqual(result.tokens);
  const text = tokens.map((token) => token.text).join("");
  // An incomplete character at the end.
  expect([text, `${text}\ufffd`]).toContain(result.text);
  expect(records.map(({ forward }) => forward)).toEqual(records.map((_, i) => i + 1));
  expect(records.length).toBe(result.forwards);
  const proposals = records.flatMap((record) => record.proposals);
  const accepted = proposals.filter((proposal) => proposal.accepted);
  expect(accepted.length).toBe(result.acceptedByDepth.reduce((sum, n) => sum + n, 0));
  for (const { proposals, tokens, rows, ms } of records) {
    expect(rows).toBeGreaterThan(proposals.length);
    expect(ms).toBeGreaterThanOrEqual(0);
    for (const { parent, depth, probability, accepted } of proposals) {
      expect(parent).toBeLessThan(proposals.length);
      expect(depth).toBe(1 + (proposals[parent]?.depth ?? 0));
      expect(probability >= 0 && probability <= 1).toBe(true);
      if (accepted && parent >= 0) expect(proposals[parent]?.accepted).toBe(true);
    }
    const path = proposals.filter((proposal) => proposal.accepted);
    const proposed = tokens.filter(({ depth }) => depth > 0);
    // An accepted end token is not in the output.
    expect(path.slice(0, proposed.length)).toMatchObject(
      proposed.map(({ id, depth, source }) => ({ id, depth, source })),
    );
    expect(tokens.slice(proposed.length).every(({ source }) => source === "drawn")).toBe(true);
    expect(tokens.length - proposed.length).toBeLessThanOrEqual(1);
  }
}

describe("records of rounds", () => {
  it("tell where each token came from, and what became of each proposal", async () => {
    await fc.assert(
      fc.asyncProperty(fc.record(settings), async (asked) => {
        const { engine } = fakeEngine({ hitRate: 0.7, nDepths: 3, endTokens: [5] });
        const generation = engine.generate({ ids: [1, 4, 2], temperature: 1, rounds: true, ...asked });
        const records: RoundRecord[] = [];
        for await (const { record } of generation) if (record !== undefined) records.push(record);
        checkRecords(records, await generation.result);
        await engine.dispose();
      }),
      { numRuns: 60 },
    );
  });

  it("are not made unless requested", async () => {
    const { engine } = fakeEngine();
    for await (const part of engine.generate({ ids: [1], maxTokens: 5 })) expect(part).not.toHaveProperty("record");
    await engine.dispose();
  });

  it("count the tokens of a predicted output", async () => {
    const plain = fakeEngine();
    const { tokens } = await plain.engine.generate({ prompt: "ab", maxTokens: 20 }).result;
    const encode = (text: string) => (text === "right" ? [...tokens] : fakeTokenizer.encode(text));
    const engine = engineOver(new FakeModel(), { tokenizer: { ...fakeTokenizer, encode } });
    const request = { prompt: "ab", maxTokens: 20, propose: "predicted", shape: "chain", n: 2 } as const;
    const { prediction } = await engine.generate({ ...request, predict: "right" }).result;
    const { prediction: ofOne } = await engine.generate({ ...request, n: 1, predict: "right" }).result;
    expect(ofOne?.accepted).toBeGreaterThan(5);
    expect(prediction?.accepted).toBe(2 * (ofOne?.accepted ?? 0));
    const wrong = await engine.generate({ ...request, n: 1, predict: "\n\n\n\n\n\n" }).result;
    expect(wrong.prediction?.accepted).toBe(0);
    expect((await engine.generate({ prompt: "ab", maxTokens: 5 }).result).prediction).toBeUndefined();
    await engine.dispose();
    await plain.engine.dispose();
  });
});
