/** A number among the settings. Absent: the server's default is used and nothing is sent. */
export interface NumberSetting {
  /** The key of the API. */
  readonly key: string;
  readonly label: string;
  /** The API's default, shown where nothing is set. */
  readonly byDefault: string;
  readonly min: number;
  readonly max?: number;
  readonly step: number;
  readonly help: string;
}

export const samplingSettings: readonly NumberSetting[] = [
  {
    key: "temperature",
    label: "Temperature",
    byDefault: "1",
    min: 0,
    max: 2,
    step: 0.1,
    help: "0: always the most likely token",
  },
  {
    key: "top_p",
    label: "Top-p",
    byDefault: "1",
    min: 0,
    max: 1,
    step: 0.05,
    help: "fewest tokens whose probabilities sum to p",
  },
  { key: "top_k", label: "Top-k", byDefault: "off", min: 0, step: 1, help: "only the k most likely tokens" },
  {
    key: "min_p",
    label: "Min-p",
    byDefault: "0",
    min: 0,
    max: 1,
    step: 0.01,
    help: "none below p times the largest probability",
  },
  {
    ...{ key: "repetition_penalty", label: "Repetition penalty", byDefault: "1", min: 0.1, max: 10, step: 0.05 },
    help: "divides the logits of tokens that occurred",
  },
  {
    ...{ key: "presence_penalty", label: "Presence penalty", byDefault: "0", min: -2, max: 2, step: 0.1 },
    help: "subtracted once from tokens of the output",
  },
  {
    ...{ key: "frequency_penalty", label: "Frequency penalty", byDefault: "0", min: -2, max: 2, step: 0.1 },
    help: "subtracted for each occurrence in the output",
  },
  { key: "seed", label: "Seed", byDefault: "0", min: 0, step: 1, help: "the same seed gives the same text" },
  {
    ...{ key: "max_completion_tokens", label: "Max tokens", byDefault: "context", min: 1, step: 1 },
    help: "ends the answer after so many",
  },
];

export const proposalSettings: readonly NumberSetting[] = [
  { key: "stride", label: "Stride", byDefault: "auto", min: 1, max: 8, step: 1, help: "most tokens per forward" },
  { key: "tau", label: "Tau", byDefault: "0.5", min: 0.05, max: 1, step: 0.05, help: "relaxed verification only" },
];

/** A setting that is one of several words; the first is the default and is not sent. */
export interface ChoiceSetting {
  readonly key: string;
  readonly label: string;
  readonly values: readonly string[];
  readonly help: string;
}

export const choiceSettings: readonly ChoiceSetting[] = [
  {
    ...{ key: "propose", label: "Proposals from", help: "what may propose tokens; auto: everything available" },
    values: ["auto", "mask", "lookup", "draft", "medusa", "none"],
  },
  {
    ...{ key: "shape", label: "Shape of rounds", help: "auto: chosen for each round from measured times" },
    values: ["auto", "chain", "quadratic", "tree"],
  },
  {
    ...{ key: "verify", label: "Verification", help: "exact: plain decoding's bytes; relaxed: faster, other bytes" },
    values: ["exact", "rejection", "relaxed"],
  },
];

/** Sent with tools only. */
export const toolChoice: ChoiceSetting = {
  ...{
    key: "tool_choice",
    label: "Tool choice",
    help: "required: the answer is a call, in the form that the tool asks for",
  },
  values: ["auto", "required", "none"],
};

/** What the fields of the settings begin with for those who want to try them. */
export const examples = {
  schema: `{
  "type": "object",
  "properties": {
    "name": { "type": "string" },
    "age": { "type": "integer" },
    "hobbies": { "type": "array", "items": { "type": "string" }, "maxItems": 3 }
  },
  "required": ["name", "age", "hobbies"],
  "additionalProperties": false
}`,
  tools: `[
  {
    "type": "function",
    "function": {
      "name": "get_weather",
      "description": "The weather in a city",
      "parameters": {
        "type": "object",
        "properties": { "city": { "type": "string" } },
        "required": ["city"],
        "additionalProperties": false
      }
    }
  }
]`,
} as const;

export interface Settings {
  readonly system: string;
  /** By the key of the API. */
  readonly numbers: Readonly<Record<string, number>>;
  readonly choices: Readonly<Record<string, string>>;
  /** JSON schema as text; empty: none. */
  readonly schema: string;
  /** JSON list of tools as text, as in the API; empty: none. */
  readonly tools: string;
  /** Whether log-probabilities of rivals are recorded. */
  readonly logprobs: boolean;
}

export const defaultSettings: Settings = {
  ...{ system: "", numbers: {}, choices: {}, schema: "", tools: "", logprobs: true },
};

/** Why the text of a field is not what it should be; undefined: it is, or it is empty. */
export function jsonProblem(text: string, expected: "object" | "list"): string | undefined {
  if (text.trim() === "") return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const isRight = expected === "list" ? Array.isArray(value) : typeof value === "object" && value !== null;
    if (isRight && (expected === "list" || !Array.isArray(value))) return undefined;
    return `Expected a JSON ${expected}.`;
  } catch (error) {
    return `Not JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}
