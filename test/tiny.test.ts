import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { load } from "../src/index.ts";

const folder = join(import.meta.dirname, "../models/tiny");

describe("the included tiny model", () => {
  it("takes fewer forwards with its adapter, for the same bytes", async () => {
    const model = await load(join(folder, "model.gguf"), { adapter: join(folder, "adapter"), threads: 1 });
    const totals = { plain: 0, proposing: 0 };
    for (const animal of ["cat", "horse", "owl", "whale"]) {
      const messages = [{ role: "user", content: `Tell me about the ${animal} in two short sentences.` }] as const;
      const generate = (options: object) => model.generate({ messages, maxTokens: 60, seed: 1, ...options }).result;
      const plain = await generate({ propose: "none" });
      const proposing = await generate({ propose: "mask", stride: 2, shape: "chain" });
      expect(proposing.sha256).toBe(plain.sha256);
      totals.plain += plain.tokens.length / plain.tokensPerForward;
      totals.proposing += proposing.tokens.length / proposing.tokensPerForward;
    }
    expect(totals.proposing).toBeLessThan(0.9 * totals.plain);
    await model.dispose();
  });

  it("writes the same bytes in rounds of every shape, at any temperature, beside other sequences", async () => {
    const model = await load(join(folder, "model.gguf"), {
      ...{ adapter: join(folder, "adapter"), threads: 2, maxSequences: 6 },
    });
    const rounds = [
      { stride: 2, shape: "chain" },
      { stride: 4, shape: "chain" },
      { stride: 3, shape: "quadratic" },
      { stride: 4, shape: "tree" },
    ] as const;
    const cases = ["bear", "duck", "fox", "snake"].flatMap((animal, i) =>
      [0, 0.8].map((temperature) => ({
        messages: [{ role: "user", content: `What does a ${animal} eat?` }] as const,
        ...{ maxTokens: 40, seed: i, temperature },
      })),
    );
    const plain = await Promise.all(cases.map((one) => model.generate({ ...one, propose: "none" }).result));
    for (const round of rounds) {
      const results = await Promise.all(
        cases.map((one) => model.generate({ ...one, propose: "mask", ...round }).result),
      );
      expect(results.map(({ sha256 }) => sha256)).toEqual(plain.map(({ sha256 }) => sha256));
      const forwards = results.reduce((sum, { tokens, tokensPerForward }) => sum + tokens.length / tokensPerForward, 0);
      const tokens = results.reduce((sum, result) => sum + result.tokens.length, 0);
      expect(tokens / forwards).toBeGreaterThan(1.15);
    }
    await model.dispose();
  });

  it("has learned to sort names", async () => {
    const model = await load(join(folder, "model.gguf"), { threads: 1 });
    const content = "Sort by name: whale, cat, lion";
    const generation = model.generate({ messages: [{ role: "user", content }], maxTokens: 16, propose: "none" });
    let text = "";
    for await (const part of generation) text += part.text;
    expect(text.trim()).toBe("cat, lion, whale");
    await model.dispose();
  });
});
