import { describe, expect, it } from "vitest";
import { invalidField } from "../../../test/support/invalid-field.ts";
import { fakeTokenizer } from "../../../test/support/fake-tokenizer.ts";
import { IdlmError } from "../../errors.ts";
import { llamaError } from "./error.ts";
import { readLlamaRequest } from "./request.ts";

const read = (body: object) => readLlamaRequest({ prompt: "ab", ...body });
const requestsOf = (body: object) => read(body).answer(fakeTokenizer).requests;

const failed = (body: object) => invalidField(() => requestsOf(body));

describe("readLlamaRequest", () => {
  const ids = fakeTokenizer.encodePrompt("ab");
  const more = fakeTokenizer.encode("b", { special: true });

  it.each<[unknown, readonly (readonly number[])[], boolean]>([
    ["ab", [ids], false],
    [[4, 5], [[4, 5]], false],
    [["ab", 4, "b"], [[...ids, 4, ...more]], false],
    [[4, "b"], [[4, ...more]], false],
    [{ prompt_string: "ab" }, [ids], false],
    [["ab", "ab"], [ids, ids], true],
    [["ab"], [ids], true],
    [["ab", [4, "b"], { prompt_string: "ab" }], [ids, [4, ...more], ids], true],
  ])("reads the prompt %j", (prompt, expected, isList) => {
    expect(requestsOf({ prompt }).map((request) => request.ids)).toEqual(expected);
    expect(read({ prompt }).isList).toBe(isList);
  });

  it("reads all settings", () => {
    const body = {
      ...{
        model: "m",
        stream: true,
        n_predict: 8,
        temperature: 0.5,
        top_k: 5,
        top_p: 0.9,
        min_p: 0.1,
        seed: 7,
        n_cmpl: 2,
      },
      ...{ repeat_penalty: 1.1, repeat_last_n: -1, presence_penalty: 1, frequency_penalty: 2, stop: ["x"], n_probs: 3 },
      ...{
        cache_prompt: false,
        id_slot: 0,
        mirostat: 0,
        typical_p: 1,
        xtc_probability: 0,
        dry_multiplier: 0,
        lora: [],
      },
      ...{ return_tokens: true, idlm: { rounds: true, propose: "none" }, other: 1 },
    };
    const { answer, settings, isList, ...request } = read(body);
    expect(request).toMatchObject({ model: "m", stream: true, returnsTokens: true, maxTokens: 8, responseFields: [] });
    expect(isList).toBe(true);
    const { requests, rounds, ignored, isEmpty } = answer(fakeTokenizer);
    expect([rounds, ignored, isEmpty]).toEqual([true, ["other"], false]);
    expect(requests).toMatchObject([
      {
        ...{
          ids,
          maxTokens: 8,
          temperature: 0.5,
          topK: 5,
          topP: 0.9,
          minP: 0.1,
          seed: 7,
          n: 2,
          stop: ["x"],
          logprobs: 3,
        },
        ...{ repetitionPenalty: 1.1, presencePenalty: 1, frequencyPenalty: 2, propose: "none" },
      },
    ]);
    expect(settings).toMatchObject({
      n_predict: 8,
      temperature: 0.5,
      top_k: 5,
      seed: 7,
      stop: ["x"],
      repeat_penalty: 1.1,
    });
  });

  it("has idlm's defaults; null is absence", () => {
    const keys = [
      "n_predict",
      "temperature",
      "top_k",
      "seed",
      "stop",
      "logit_bias",
      "grammar",
      "json_schema",
      "lora",
      "samplers",
    ];
    expect(requestsOf(Object.fromEntries(keys.map((key) => [key, null])))).toEqual(requestsOf({}));
    expect(requestsOf({})).toMatchObject([
      { temperature: 1, seed: undefined, maxTokens: undefined, logprobs: undefined },
    ]);
    expect(requestsOf({ n_predict: -1, seed: -1 })).toMatchObject([{ seed: undefined, maxTokens: undefined }]);
    expect(read({ n_predict: 0 }).answer(fakeTokenizer)).toMatchObject({ isEmpty: true, requests: [{ maxTokens: 1 }] });
  });

  it("reads grammars", () => {
    expect(requestsOf({ grammar: 'root ::= "a"' })[0]?.grammar).toEqual({ kind: "ebnf", grammar: 'root ::= "a"' });
    expect(requestsOf({ json_schema: {} })[0]?.grammar).toEqual({ kind: "schema", schema: {} });
    expect(read({ json_schema: {} }).answer(fakeTokenizer).names.grammar).toBe("json_schema");
    expect(requestsOf({ grammar: "" })[0]?.grammar).toBeUndefined();
  });

  it("reads biases of ids and of texts", () => {
    const biasOf = (logit_bias: unknown) => requestsOf({ logit_bias })[0]?.logitBias;
    const [a = -1, b = -1] = fakeTokenizer.encode("ab");
    expect(biasOf([[5, -100]])).toEqual(new Map([[5, -100]]));
    expect(biasOf({ 5: 1 })).toEqual(new Map([[5, 1]]));
    expect(biasOf([["ab", 2]])).toEqual(
      new Map([
        [a, 2],
        [b, 2],
      ]),
    );
    expect(biasOf([[5, false]])).toEqual(new Map([[5, -1e30]]));
  });

  it.each([
    [{ prompt: undefined }, "prompt"],
    [{ prompt: 5 }, "prompt"],
    [{ prompt: [] }, "no error"],
    [{ prompt: [["a"], true] }, "prompt[1]"],
    [{ prompt: { prompt_string: "a", multimodal_data: ["x"] } }, "prompt.multimodal_data"],
    [{ mirostat: 2 }, "mirostat"],
    [{ samplers: ["top_k"] }, "samplers"],
    [{ min_tokens: 1 }, "min_tokens"],
    [{ lora: [{ id: 0, scale: 1 }] }, "lora"],
    [{ repeat_penalty: 1.1, repeat_last_n: 64 }, "repeat_last_n"],
    [{ response_fields: [1] }, "response_fields"],
    [{ temperature: "x" }, "temperature"],
  ])("names the key that is wrong: %j", (body, path) => {
    expect(failed(body)).toBe(path);
  });

  it("takes a window of penalties that are off", () => {
    expect(failed({ repeat_last_n: 64, repeat_penalty: 1 })).toBe("no error");
    expect(requestsOf({ repeat_last_n: 0, repeat_penalty: 2 })[0]?.repetitionPenalty).toBe(1);
  });
});

describe("llamaError", () => {
  it("has the API's form", () => {
    const error = new IdlmError("context-too-long", { nTokens: 9, context: 8, hint: "" });
    expect(llamaError(error, {})).toEqual({
      status: 400,
      body: {
        error: {
          ...{ code: 400, type: "exceed_context_size_error" },
          message: expect.stringContaining("exceeds the available context size: 9 tokens"),
        },
      },
    });
    expect(llamaError(new IdlmError("not-offered", { path: "/embedding", hint: "" }), {})).toMatchObject({
      ...{ status: 501, body: { error: { code: 501, type: "not_supported_error" } } },
    });
  });
});
