import type { ModelConfig } from "../model/config/config.ts";

/** Llama 3.1's and 3.2's rotary embedding; the factor is 8 in 3.1 and 32 in 3.2. */
const llama3Rope = (factor: number) =>
  ({
    theta: 500_000,
    kind: "llama3",
    factor,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalContext: 8192,
  }) as const;

type Sizes = Pick<ModelConfig, "nLayers" | "hiddenSize" | "nHeads" | "nKvHeads" | "headDim" | "mlpSize" | "isTied">;

function llama3(factor: number, sizes: Sizes): ModelConfig {
  return {
    architecture: "llama",
    ...sizes,
    vocabSize: 128_256,
    normEpsilon: 1e-5,
    hasQkvBias: false,
    hasQkNorm: false,
    contextLength: 131_072,
    rope: llama3Rope(factor),
  };
}

function qwen2(vocabSize: number, sizes: Sizes): ModelConfig {
  return {
    architecture: "qwen2",
    ...sizes,
    vocabSize,
    normEpsilon: 1e-6,
    hasQkvBias: true,
    hasQkNorm: false,
    contextLength: 32_768,
    rope: { theta: 1e6, kind: "default" },
  };
}

function qwen3(sizes: Sizes): ModelConfig {
  return {
    architecture: "qwen3",
    ...sizes,
    vocabSize: 151_936,
    normEpsilon: 1e-6,
    hasQkvBias: false,
    hasQkNorm: true,
    contextLength: 40_960,
    rope: { theta: 1e6, kind: "default" },
  };
}

/** Configs of published models, from their config.json: the names of `idlm bench make-model --shape`. */
export const modelShapes: Readonly<Record<string, ModelConfig>> = {
  "smollm2-135m": {
    architecture: "llama",
    nLayers: 30,
    hiddenSize: 576,
    nHeads: 9,
    nKvHeads: 3,
    headDim: 64,
    mlpSize: 1536,
    vocabSize: 49_152,
    normEpsilon: 1e-5,
    hasQkvBias: false,
    hasQkNorm: false,
    isTied: true,
    contextLength: 8192,
    rope: { theta: 100_000, kind: "default" },
  },
  "llama-3.2-1b": llama3(32, sizes(16, 2048, 32, 8, 64, 8192, true)),
  "llama-3.2-3b": llama3(32, sizes(28, 3072, 24, 8, 128, 8192, true)),
  "llama-3.1-8b": llama3(8, sizes(32, 4096, 32, 8, 128, 14_336, false)),
  "qwen2.5-0.5b": qwen2(151_936, sizes(24, 896, 14, 2, 64, 4864, true)),
  "qwen2.5-1.5b": qwen2(151_936, sizes(28, 1536, 12, 2, 128, 8960, true)),
  "qwen2.5-7b": qwen2(152_064, sizes(28, 3584, 28, 4, 128, 18_944, false)),
  "qwen3-0.6b": qwen3(sizes(28, 1024, 16, 8, 128, 3072, true)),
  "qwen3-1.7b": qwen3(sizes(28, 2048, 16, 8, 128, 6144, true)),
  "qwen3-4b": qwen3(sizes(36, 2560, 32, 8, 128, 9728, true)),
  "qwen3-8b": qwen3(sizes(36, 4096, 32, 8, 128, 12_288, false)),
};

function sizes(
  nLayers: number,
  hiddenSize: number,
  nHeads: number,
  nKvHeads: number,
  headDim: number,
  mlpSize: number,
  isTied: boolean,
): Sizes {
  return { nLayers, hiddenSize, nHeads, nKvHeads, headDim, mlpSize, isTied };
}
