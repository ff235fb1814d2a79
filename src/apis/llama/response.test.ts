import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { answerOfDeltas } from "../../../test/support/answer-events.ts";
import { fakeTokenizer } from "../../../test/support/fake-tokenizer.ts";
import type { AnswerEvent } from "../../answer/types.ts";
import { readLlamaRequest } from "./request.ts";
import { LlamaBuilder, type LlamaObject } from "./response.ts";

const context = {
  ...{
    model: "m",
    contextLength: 100,
    tokenizer: fakeTokenizer,
    asked: { ignored: ["x"], rounds: true },
    prompts: [[1, 2]],
  },
  detokenize: (ids: readonly number[]) => ids.join(" "),
};

type Ending = Parameters<typeof answerOfDeltas>[1];

function answered(text: string, body: object = {}, ending?: Ending) {
  const { answer, events } = answerOfDeltas([{ kind: "text", text }], ending);
  const builder = new LlamaBuilder(readLlamaRequest({ prompt: "a", ...body }), context);
  return { answer, events, builder, body: builder.body(answer) as LlamaObject };
}

describe("LlamaBuilder", () => {
  const piece = fc.record({ tokens: fc.array(fc.nat(9), { minLength: 1, maxLength: 3 }), text: fc.string() });

  it("streams the text that it writes unstreamed, with all tokens", () => {
    fc.assert(
      fc.property(fc.array(piece), fc.string(), fc.boolean(), (pieces, rest, hasProbs) => {
        const text = pieces.map((one) => one.text).join("") + rest;
        const { answer, builder, body } = answered(text, { stream: true });
        const events = pieces.flatMap(({ tokens, text: more }): AnswerEvent[] => [
          {
            ...{ choice: 0, kind: "tokens", tokens },
            ...(hasProbs && { logprobs: tokens.map((token) => ({ token, logprob: -1, top: [] })) }),
          },
          ...(more === "" ? [] : [{ choice: 0, kind: "text" as const, text: more }]),
        ]);
        const last: AnswerEvent = { choice: 0, kind: "text", text: rest };
        const chunks = [...[...events, last].flatMap((event) => builder.push(event)), ...builder.end(answer)];
        expect(chunks.map(({ content }) => content).join("")).toBe(body.content);
        expect(chunks.flatMap(({ tokens }) => tokens)).toEqual(pieces.flatMap(({ tokens }) => tokens));
        expect(chunks.map(({ stop }) => stop)).toEqual([...Array(chunks.length - 1).fill(false), true]);
        for (const chunk of chunks.slice(0, -1)) {
          if (hasProbs) expect(chunk).toMatchObject({ completion_probabilities: [{ logprob: -1 }] });
          expect((chunk.tokens as number[]).length).toBeGreaterThan(0);
        }
      }),
    );
  });

  it("has the API's form", () => {
    const { body } = answered("a\nb", { n_predict: 3 }, { finishReason: "length" });
    expect(body).toMatchObject({
      ...{ index: 0, content: "a\nb", tokens: [], id_slot: 0, stop: true, model: "m", tokens_predicted: 3 },
      ...{ tokens_evaluated: 9, tokens_cached: 2, prompt: "1 2", has_new_line: true, truncated: false },
      ...{
        stop_type: "limit",
        stopping_word: "",
        idlm: { verify: "exact", lossless: true, ignored: ["x"], result: { forwards: 2, prefillMs: 4 } },
      },
      generation_settings: { n_predict: 3, n_ctx: 100, temperature: 1 },
      timings: { cache_n: 2, prompt_n: 7, prompt_ms: 4, predicted_n: 3, predicted_ms: 6, predicted_per_second: 500 },
    });
    expect(answered("a", { return_tokens: true }).body.tokens).toEqual([5, 6, 7]);
    expect(answered("a", {}, { finishReason: "length" }).body.truncated).toBe(true);
  });

  it("says what ended the text", () => {
    const endOf = (ending: Ending) => {
      const { stop_type, stopping_word } = answered("a", {}, ending).body;
      return [stop_type, stopping_word];
    };
    expect(endOf({ finishReason: "stop", endToken: 2 })).toEqual(["eos", ""]);
    expect(endOf({ finishReason: "stop", stopString: "END" })).toEqual(["word", "END"]);
    expect(endOf({ finishReason: "cancelled" })).toEqual(["none", ""]);
  });

  it("answers lists with lists, and only with the fields that are wanted", () => {
    expect(answered("a", { prompt: ["a"] }).body).toMatchObject([{ content: "a" }]);
    const fields = ["content", "generation_settings/n_predict", "none/at/all"];
    expect(answered("a", { response_fields: fields, n_predict: 4 }).body).toEqual({
      ...{ content: "a", "generation_settings/n_predict": 4 },
    });
  });
});
