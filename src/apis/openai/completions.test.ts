import { describe, expect, it } from "vitest";
import { fakeEngine } from "../../../test/support/fake-engine.ts";
import { answer } from "../../answer/answer.ts";
import type { EngineModel } from "../../engine/engine-model.ts";
import { MAX_ROUND_ROWS } from "../../engine/limits.ts";
import { readOpenAiRequest } from "./request.ts";
import { openAiResponse } from "./response.ts";

interface CompletionChoice {
  readonly text: string;
  readonly logprobs: {
    readonly tokens: readonly string[];
    readonly token_logprobs: readonly (number | null)[];
    readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
    readonly text_offset: readonly number[];
  } | null;
}

async function complete(engine: EngineModel, body: object) {
  const request = readOpenAiRequest("completions", body);
  const { tokenizer, info } = engine;
  const context = { id: "x", model: "m", created: 1, tokenizer, numerics: info.backend.numerics };
  const response = openAiResponse(request, await answer(engine, request, new AbortController().signal).done, context);
  return { ...response, choices: response.choices as unknown as readonly CompletionChoice[] };
}

describe("/v1/completions", () => {
  it("echoes prompts with the log-probabilities of score", async () => {
    const { engine } = fakeEngine();
    const ids = [1, 4, 0, 2, 10];
    const { choices, usage } = await complete(engine, { prompt: [ids, [3]], echo: true, max_tokens: 0, logprobs: 2 });
    const { tokens: scored } = await engine.score({ ids, logprobs: 2 });
    const [first, second] = choices;
    expect(first?.text).toBe(engine.detokenize(ids));
    expect(first?.logprobs?.token_logprobs).toEqual(scored.map(({ logprob }) => logprob ?? null));
    expect(first?.logprobs?.top_logprobs[0]).toBeNull();
    expect(Object.values(first?.logprobs?.top_logprobs[1] ?? {})).toEqual(
      expect.arrayContaining(scored[1]?.top?.map(({ logprob }) => logprob) ?? [Number.NaN]),
    );
    expect(first?.logprobs?.text_offset).toEqual([0, 1, 2, 3, 5]);
    expect(second).toMatchObject({ text: "ba", logprobs: { token_logprobs: [null], tokens: ["ba"] } });
    expect(usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 0 });
    await engine.dispose();
  });

  it("computes each row of an echoed prompt once, whether it is cached or not", async () => {
    const { engine, model } = fakeEngine();
    const prompt = Array.from({ length: 150 }, (_, i) => (i * 7) % 11);
    for (let i = 0; i < 2; i++) {
      model.rowCounts.length = 0;
      await complete(engine, { prompt, echo: true, max_tokens: 0, logprobs: 1 });
      expect(model.rowCounts.reduce((sum, rows) => sum + rows, 0)).toBe(prompt.length);
      // Each needs logits of the whole vocabulary.
      expect(Math.max(...model.rowCounts)).toBeLessThanOrEqual(MAX_ROUND_ROWS);
    }
    await complete(engine, { prompt, echo: true, max_tokens: 0 });
    expect(model.rowCounts.at(-1)).toBeLessThan(16);
    await engine.dispose();
  });

  it("continues after an echoed prompt", async () => {
    const { engine } = fakeEngine();
    const asked = { prompt: "ab ", temperature: 0, max_tokens: 4, logprobs: 1 };
    const [plain] = (await complete(engine, asked)).choices;
    const [echoed] = (await complete(engine, { ...asked, echo: true })).choices;
    expect(echoed?.text).toBe(`ab ${plain?.text}`);
    expect(echoed?.logprobs?.token_logprobs.slice(3)).toEqual(plain?.logprobs?.token_logprobs);
    expect(echoed?.logprobs?.text_offset.slice(3)).toEqual(plain?.logprobs?.text_offset.map((offset) => offset + 3));
    const [bare] = (await complete(engine, { ...asked, echo: true, logprobs: null })).choices;
    expect(bare).toMatchObject({ text: echoed?.text, logprobs: null });
    await engine.dispose();
  });

  it("has an entry for a drawn end token", async () => {
    const { engine: without } = fakeEngine();
    const { tokens } = await without.generate({ prompt: "ab", maxTokens: 6 }).result;
    const end = tokens[3] as number;
    const { engine } = fakeEngine({ endTokens: [end] });
    const { choices } = await complete(engine, {
      prompt: "ab",
      temperature: 0,
      max_tokens: 6,
      logprobs: 1,
      echo: true,
    });
    const nBefore = tokens.indexOf(end);
    expect(choices[0]?.logprobs?.tokens.length).toBe(2 + nBefore + 1);
    expect(choices[0]?.logprobs?.token_logprobs.at(-1)).toBeLessThan(0);
    await without.dispose();
    await engine.dispose();
  });

  it("keeps the likeliest of several completions", async () => {
    const { engine } = fakeEngine({ endTokens: [5] });
    const asked = { prompt: "ab", max_tokens: 6, seed: 3 };
    const all = (await complete(engine, { ...asked, n: 5, logprobs: 0 })).choices;
    const mean = ({ logprobs }: CompletionChoice) => {
      const values = logprobs?.token_logprobs.map((value) => value ?? 0) ?? [];
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    const sorted = [...all].sort((a, b) => mean(b) - mean(a));
    const { choices, usage } = await complete(engine, { ...asked, n: 2, best_of: 5 });
    expect(choices.map(({ text }) => text)).toEqual(sorted.slice(0, 2).map(({ text }) => text));
    expect(choices).toMatchObject([{ index: 0, logprobs: null }, { index: 1 }]);
    // All of them were generated.
    expect(usage.completion_tokens).toBeGreaterThan(12);
    expect((await complete(engine, { ...asked, best_of: 2, logprobs: 1 })).choices[0]?.logprobs).not.toBeNull();
    await engine.dispose();
  });
});
