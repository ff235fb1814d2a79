import { mapSettings, type SamplingRequest } from "../compute/sampling/settings.ts";
import { proposeValues, shapeValues, verifyValues } from "../engine/request/round-options.ts";
import type { GenerateRequest } from "../engine/types.ts";
import type { KeyNames } from "../errors.ts";
import { Body } from "./body.ts";
import { readTemperature, readTopK, readTopP } from "./common-keys.ts";

/** Keys of idlm, and two of vLLM, that every API takes, at the top level or under `idlm`. */
export interface OwnKeys {
  readonly settings: Pick<
    GenerateRequest,
    "propose" | "stride" | "shape" | "verify" | "tau" | "priority" | "ignoreEos" | "stopTokens"
  >;
  /** Whether records of rounds are wanted. */
  readonly rounds: boolean;
  /** All sampling settings, in snake case. */
  readonly sampling: SamplingRequest;
}

const samplingNames = mapSettings((name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));

/** The engine's keys in snake case. */
export const snakeCaseNames: KeyNames = {
  ...samplingNames,
  ...{ maxTokens: "max_tokens", logitBias: "logit_bias", ids: "prompt" },
  ...{ ignoreEos: "ignore_eos", stopTokens: "stop_token_ids" },
  // Requirements that a client cannot meet, so described instead of named.
  ...{ adapter: "an adapter", draftModel: "a draft model" },
};

/** @throws IdlmError "usage" with the key. */
export function readOwnKeys(body: Body): OwnKeys {
  const extension = new Body(body.take("idlm") ?? {}, "idlm", body);
  const [inner, outer] = [roundKeys(extension), roundKeys(body)];
  const [innerSampling, outerSampling] = [samplingOf(extension), samplingOf(body)];
  const rounds = extension.boolean("rounds") ?? false;
  return {
    settings: {
      propose: inner.propose ?? outer.propose,
      stride: inner.stride ?? outer.stride,
      shape: inner.shape ?? outer.shape,
      verify: inner.verify ?? outer.verify,
      tau: inner.tau ?? outer.tau,
      priority: inner.priority ?? outer.priority,
      ignoreEos: inner.ignoreEos ?? outer.ignoreEos,
      stopTokens: inner.stopTokens ?? outer.stopTokens,
    },
    sampling: mapSettings((name) => innerSampling[name] ?? outerSampling[name]),
    rounds,
  };
}

function roundKeys(body: Body): OwnKeys["settings"] {
  return {
    propose: body.choice("propose", proposeValues),
    stride: body.number("stride"),
    shape: body.choice("shape", shapeValues),
    verify: body.choice("verify", verifyValues),
    tau: body.number("tau"),
    priority: body.number("priority"),
    ignoreEos: body.boolean("ignore_eos"),
    stopTokens: body.take("stop_token_ids") as GenerateRequest["stopTokens"],
  };
}

function samplingOf(body: Body): SamplingRequest {
  const numbers = mapSettings((name) => body.number(samplingNames[name]));
  return { ...numbers, temperature: readTemperature(body), topK: readTopK(body), topP: readTopP(body) };
}
