import { describe, expect, it } from "vitest";
import type { SamplerSettings } from "../backend.ts";
import { checkSettings, MAX_LOGPROBS, neutralSettings } from "./settings.ts";

const VOCAB = 320;

describe("checkSettings", () => {
  it.each<Partial<SamplerSettings>>([
    {},
    { repetitionPenalty: 0.01 },
    { repetitionPenalty: 100 },
    { presencePenalty: -100, frequencyPenalty: 100 },
    { temperature: 100, topK: 2 ** 31 - 1, topP: 0, minP: 1 },
    { seed: Number.MAX_SAFE_INTEGER, choice: 2 ** 31 - 1 },
    { logprobs: -1 },
    { logprobs: MAX_LOGPROBS },
    {
      logitBias: new Map([
        [0, -1e6],
        [VOCAB - 1, 1e6],
      ]),
    },
  ])("takes %o", (changed) => {
    const settings = { ...neutralSettings, ...changed };
    expect(checkSettings(settings, VOCAB)).toBe(settings);
  });

  it.each<[keyof SamplerSettings, readonly unknown[]]>([
    ["repetitionPenalty", [0, -1, 101, Number.NaN, "1"]],
    ["presencePenalty", [-101, 101, Number.POSITIVE_INFINITY]],
    ["frequencyPenalty", [-101, 101, Number.NaN, undefined]],
    ["temperature", [-0.1, 101, Number.NaN, null]],
    ["topK", [-1, 1.5, 2 ** 31]],
    ["topP", [-0.1, 1.1, Number.NaN]],
    ["minP", [-0.1, 1.1, Number.NaN]],
    ["seed", [-1, 0.5, 2 ** 53]],
    ["choice", [-1, 0.5, 2 ** 31]],
    ["logprobs", [-2, 0.5, MAX_LOGPROBS + 1]],
  ])("refuses %s of %j, naming it", (name, values) => {
    for (const value of values) {
      const settings = { ...neutralSettings, [name]: value } as SamplerSettings;
      expect(() => checkSettings(settings, VOCAB), String(value)).toThrow(
        expect.objectContaining({ code: "usage", message: expect.stringContaining(name) }),
      );
    }
  });

  it.each([
    [-1, 0],
    [VOCAB, 0],
    [1.5, 0],
    [1, Number.NaN],
    [1, Number.NEGATIVE_INFINITY],
    [1, 1.1e6],
  ])("refuses a logit bias of %d: %d", (token, bias) => {
    const settings = { ...neutralSettings, logitBias: new Map([[token, bias]]) };
    expect(() => checkSettings(settings, VOCAB)).toThrow(/logit bias/);
  });
});
