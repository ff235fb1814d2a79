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
