import { expect, it } from "vitest";
import { fakeEngine } from "../../test/support/fake-engine.ts";
import type { Model } from "../engine/types.ts";
import { type DecodeMethod, measureDecoding } from "./decode.ts";
import { type BenchPrompt, KINDS, readPrompts } from "./prompts.ts";

it("measures every method on every kind of prompt at every batch size, plain decoding first", async () => {
  const { engine } = fakeEngine({ hitRate: 1 });
  const prompts: BenchPrompt[] = [
    { kind: "chat", messages: [{ role: "user", content: "abc" }] },
    { kind: "chat", messages: [{ role: "user", content: "cba" }] },
    { kind: "random", messages: [{ role: "user", content: "bcb" }], temperature: 1, seed: 3 },
  ];
  const methods: DecodeMethod[] = [
    { drafter: "none", shape: undefined, stride: undefined },
    { drafter: "mask", shape: "chain", stride: 2 },
    { drafter: "predicted", shape: "chain", stride: 2 },
  ];
  const stages: string[] = [];
  const figures = await measureDecoding(engine, {
    ...{ methods, prompts, batches: [1, 3], pairs: 2, maxTokens: 21, cutRepeats: false },
    ...{ signal: new AbortController().signal, onStage: (stage) => stages.push(stage) },
  });
  // These prompts have no predicted output.
  expect(figures.map(({ batch, kind, drafter }) => [batch, kind, drafter])).toEqual([
    [1, "chat", "none"],
    [1, "chat", "mask"],
    [1, "random", "none"],
    [1, "random", "mask"],
    [3, "chat", "none"],
    [3, "chat", "mask"],
    [3, "random", "none"],
    [3, "random", "mask"],
  ]);
  expect(stages.length).toBe(figures.length);
  for (const { drafter, tokensPerForward, overhead, speedUp, isSameText, acceptanceByDepth, ...rows } of figures) {
    expect(isSameText).toBe(true);
    expect(overhead * speedUp.median).toBeCloseTo(tokensPerForward);
    expect(speedUp.low <= speedUp.median && speedUp.median <= speedUp.high).toBe(true);
    if (drafter === "none") expect([tokensPerForward, rows.tokenRows, rows.maskRows]).toEqual([1, 1, 0]);
    else {
      // One token from prefill, then two from each of ten rounds; outputs of a batch have half to all of the length.
      if (rows.batch === 1) expect(tokensPerForward).toBeCloseTo(21 / 11);
      else expect(tokensPerForward).toBeGreaterThan(1.7);
      expect(acceptanceByDepth).toEqual([1]);
    }
  }
  await engine.dispose();
});

it("finds the share of the texts that lies in repeats, and cuts it off on request", async () => {
  const { engine } = fakeEngine();
  // Its tokens in place of the engine's: 0, 1, ..., 19, 0, 1, ...
  const looping: Pick<Model, "tokenizer" | "generate"> = {
    tokenizer: engine.tokenizer,
    generate: (request) => {
      const generation = engine.generate(request);
      let nTokens = 0;
      async function* parts() {
        for await (const part of generation) yield { ...part, tokens: part.tokens.map(() => nTokens++ % 20) };
      }
      const { promptIds, promptLogprobs, result } = generation;
      return Object.assign(parts(), { promptIds, promptLogprobs, result });
    },
  };
  const methods: DecodeMethod[] = [{ drafter: "none", shape: undefined, stride: undefined }];
  const prompts: BenchPrompt[] = [{ kind: "chat", messages: [{ role: "user", content: "abc" }] }];
  const plan = { methods, prompts, batches: [1], pairs: 1, maxTokens: 80, onStage: () => undefined };
  for (const cutRepeats of [false, true]) {
    const { signal } = new AbortController();
    const [figure] = await measureDecoding(looping, { ...plan, cutRepeats, signal });
    expect(figure?.repeatedShare).toBeCloseTo(0.75);
    expect(figure?.rounds).toEqual([{ proposals: 0, maskRows: 0, rounds: cutRepeats ? 20 : 80 }]);
  }
  await engine.dispose();
});

it("has prompts of every kind, each a conversation that ends with the user", () => {
  const prompts = readPrompts();
  for (const kind of KINDS) expect(prompts.filter((prompt) => prompt.kind === kind).length).toBeGreaterThanOrEqual(4);
  for (const { messages } of prompts) expect(messages.at(-1)?.role).toBe("user");
  expect(new Set(prompts.map((prompt) => JSON.stringify(prompt.messages))).size).toBe(prompts.length);
});
