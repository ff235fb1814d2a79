import { describe, expect, it } from "vitest";
import { fakeTokenizer } from "../../../test/support/fake-tokenizer.ts";
import { IdlmError } from "../../errors.ts";
import type { GenerateRequest } from "../types.ts";
import { checkRequest, type RequestLimits, withPrompt } from "./request.ts";

const mask = { nDepths: 3, sharedByDepth: false, entryLayer: 0 };
const limits: RequestLimits = {
  vocabSize: 11,
  context: 32,
  mask,
  adapterPath: "some/adapter",
  nExtraHeads: 0,
  hasDraft: false,
  grammars: undefined,
  endTokens: new Set<number>(),
  tokenizer: fakeTokenizer,
};
const codeOf = (request: unknown, more: Partial<RequestLimits> = {}) => {
  try {
    const [given, against] = [request as GenerateRequest, { ...limits, ...more }];
    void withPrompt(checkRequest(given, against), given, against);
    return "fine";
  } catch (error) {
    return error instanceof IdlmError ? `${error.code}: ${error.message}` : error;
  }
};

const chat = { messages: [{ role: "user", content: "a" }] } as const;

describe("checkRequest", () => {
  it("uses the names of the caller for keys", () => {
    const messageOf = (request: GenerateRequest) => {
      try {
        checkRequest(request, limits);
        return "fine";
      } catch (error) {
        return (error as IdlmError).messageWith({ maxTokens: "max_tokens", predict: "--predict FILE", stride: "S" });
      }
    };
    expect(messageOf({ maxTokens: 0 })).toMatch(/^max_tokens: expected a whole number/);
    expect(messageOf({ propose: "predicted" })).toContain("Give --predict FILE, or");
    expect(messageOf({ stride: 7 })).toMatch(/^stride 7 needs 6 .* Use S 4 or less, or propose lookup/);
    expect(messageOf({ topP: 2 })).toMatch(/^topP: /);
  });

  it("fills in defaults without any sampling setting", () => {
    const checked = checkRequest({ ids: [1, 2] }, limits);
    expect(withPrompt(checked, { ids: [1, 2] }, limits)).toMatchObject({
      n: 1,
      predicted: [],
      maxTokens: 30,
      stop: [],
    });
    expect(checked.settings).toEqual({
      repetitionPenalty: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
      logitBias: new Map(),
      temperature: 0,
      topK: 0,
      topP: 1,
      minP: 0,
      seed: 0,
      choice: 0,
      logprobs: -1,
    });
  });

  it.each([
    [{}, "exactly one of prompt, messages and ids"],
    [{ prompt: "a", ids: [1] }, "exactly one of"],
    [{ prompt: "" }, "prompt: expected a string that is not empty"],
    [{ ids: [] }, "ids: expected at least one"],
    [{ ids: [11] }, "11 is not a token id"],
    [{ ids: [1.5] }, "1.5 is not a token id"],
    [{ messages: [] }, "1 to 10000 messages"],
    [{ messages: [{ role: "robot", content: "a" }] }, "messages[0].role"],
    [{ messages: [{ role: "user", content: 1 }] }, "messages[0].content"],
    [
      { messages: [{ role: "user", content: "a", nam: "b" }] },
      'messages[0]: expected only the keys role, content, name, reasoning, toolCalls, toolCallId, found "nam"',
    ],
    [{ ids: [1], tools: [] }, "tools: needs messages"],
    [{ ...chat, tools: [{}] }, "tools[0].name: expected a string that is not empty"],
    [{ ...chat, tools: [{ name: "f", parameters: [] }] }, "tools[0].parameters: expected a JSON schema"],
    [{ ...chat, tools: new Array(129).fill({ name: "f" }) }, "tools: expected at most 128 tools"],
    [{ ...chat, templateArguments: { messages: [] } }, "templateArguments.messages: is set by the request"],
    [{ ...chat, templateArguments: { a: "b".repeat(2 ** 24) } }, "expected at most 16777216 characters of JSON"],
    [{ ...chat, addGenerationPrompt: 1 }, "addGenerationPrompt: expected true or false, found 1"],
    [
      { ...chat, addGenerationPrompt: true, continueFinalMessage: true },
      "addGenerationPrompt: the model cannot both continue a message and begin one",
    ],
    [{ prompt: "a", ignoreEos: 1 }, "ignoreEos: expected true or false, found 1"],
    [{ prompt: "a", stopTokens: 5 }, "stopTokens: expected a list of at most 64 token ids"],
    [{ prompt: "a", stopTokens: [1, 99] }, "stopTokens[1]: 99 is not a token id below 11"],
    [{ ...chat, continueFinalMessage: 1 }, "continueFinalMessage: expected true or false, found 1"],
    [{ ids: [1], rounds: "yes" }, 'rounds: expected true or false, found "yes"'],
    [{ ids: [1], maxToken: 1 }, "unknown key maxToken"],
    [{ ids: [1], maxTokens: 0 }, "maxTokens: expected a whole number from 1"],
    [{ ids: [1], seed: -1 }, "seed"],
    [{ ids: [1], seed: 2 ** 53 }, "seed: expected a whole number from 0 to 9007199254740991, found 9007199254740992"],
    [{ ids: [1], stride: 0 }, "stride: expected a whole number from 1 to 8"],
    [{ ids: [1], stride: 9 }, "stride"],
    [{ ids: [1], propose: "guess" }, "propose"],
    [{ ids: [1], shape: "round" }, "shape"],
    [{ ids: [1], verify: "maybe" }, "verify: expected exact, rejection or relaxed"],
    [{ ids: [1], tau: 0.5 }, "tau: 0.5 with exact verification"],
    [{ ids: [1], tau: 0.5, verify: "rejection" }, "tau: 0.5 with rejection verification"],
    [{ ids: [1], tau: 0, verify: "relaxed" }, "tau: expected a number above 0"],
    [{ ids: [1], tau: 1.1, verify: "relaxed" }, "tau"],
    [{ ids: [1], n: 0 }, "n: expected a whole number from 1 to 128"],
    [{ ids: [1], n: 129 }, "n: expected"],
    [{ ids: [1], predict: 5 }, "predict: expected a string"],
    [{ ids: [1], propose: "predicted" }, "needs a predicted output"],
    [{ ids: [1], propose: "draft" }, "needs a draft model"],
    [{ ids: [1], propose: "medusa" }, "needs an adapter with Medusa heads"],
    [{ ids: [1], temperature: -0.1 }, "temperature"],
    [{ ids: [1], temperature: Number.NaN }, "temperature"],
    [{ ids: [1], temperature: 1e-9 }, "temperature"],
    [{ ids: [1], temperature: "1" }, "temperature"],
    [{ ids: [1], topP: 0 }, "topP: expected a number above 0"],
    [{ ids: [1], topP: 1.1 }, "topP"],
    [{ ids: [1], topK: -1 }, "topK"],
    [{ ids: [1], minP: 2 }, "minP"],
    [{ ids: [1], repetitionPenalty: 0 }, "repetitionPenalty"],
    [{ ids: [1], presencePenalty: Number.POSITIVE_INFINITY }, "presencePenalty"],
    [{ ids: [1], logprobs: 65 }, "logprobs"],
    [{ ids: [1], logitBias: { 11: 1 } }, "logitBias: 11 is not a token id"],
    [{ ids: [1], logitBias: { x: 1 } }, 'logitBias: "x" is not a token id below 11'],
    [{ ids: [1], logitBias: { "": 1 } }, 'logitBias: "" is not a token id'],
    [{ ids: [1], logitBias: { 1: Number.NaN } }, "logitBias"],
    [{ ids: [1], stop: "a" }, "stop"],
    [{ ids: [1], stop: [""] }, "stop"],
    [{ ids: [1], stop: new Array(17).fill("a") }, "at most 16"],
    [{ ids: [1], context: 33 }, "context: 33 is above the 32 that the model was loaded with"],
    [{ ids: [1], signal: 1 }, "signal"],
    [null, "must be an object"],
  ])("refuses %j", (request, message) => {
    const found = codeOf(request);
    expect(found).toContain("usage: ");
    expect(found).toContain(message);
  });

  it("reports values that do not fit the model", () => {
    expect(codeOf({ ids: new Array(32).fill(1) })).toMatch(
      /^context-too-long: 32 tokens do not fit into the context of 32/,
    );
    expect(codeOf({ ids: new Array(31).fill(1) })).toBe("fine");
    expect(codeOf({ ids: [1, 1], context: 2 })).toMatch(/^context-too-long/);
    const long = codeOf({ ids: [1], stride: 5 });
    expect(long).toBe(
      "stride-too-long: stride 5 needs 4 MASK depths, the adapter some/adapter has 3. Use stride 4 or less, or propose lookup (or another proposer without MASK rows): up to 8.",
    );
    expect(codeOf({ ids: [1], stride: 5, propose: "lookup" })).toBe("fine");
    expect(codeOf({ ids: [1], stride: 8 }, { mask: { ...mask, sharedByDepth: true } })).toBe("fine");
  });

  it("renders messages asynchronously, and reports a prompt that is too long", async () => {
    const of = (content: string) => {
      const request: GenerateRequest = { messages: [{ role: "user", content }] };
      return withPrompt(checkRequest(request, limits), request, limits);
    };
    expect(await of("ab")).toMatchObject({ ids: [0, 1, 10], maxTokens: 29 });
    await expect(of("a".repeat(31))).rejects.toThrow("32 tokens do not fit into the context of 32");
  });

  it("requires an adapter for MASK rows and a tokenizer for text", () => {
    expect(codeOf({ ids: [1], propose: "mask" }, { mask: undefined })).toMatch(
      /^usage: propose: mask needs an adapter/,
    );
    expect(codeOf({ prompt: "a" }, { tokenizer: undefined })).toMatch(/^usage: the model has no tokenizer/);
    expect(codeOf({ ids: [1], stop: ["a"] }, { tokenizer: undefined })).toMatch(/^usage: stop/);
  });

  it("accepts biases as an object or a map", () => {
    const map = new Map([[3, -1.5]]);
    expect(checkRequest({ ids: [1], logitBias: { 3: -1.5 } }, limits).settings.logitBias).toEqual(map);
    expect(checkRequest({ ids: [1], logitBias: map }, limits).settings.logitBias).toEqual(map);
  });
});
