import { anthropicError } from "../apis/anthropic/error.ts";
import { llamaError } from "../apis/llama/error.ts";
import { ollamaError } from "../apis/ollama/response.ts";
import { openAiError } from "../apis/openai/response.ts";
import type { KeyNames } from "../errors.ts";

/** One of the APIs that the server speaks. */
export interface ApiFamily {
  readonly name: string;
  /**
   * HTTP status and body of an error in this API's form. `names`: the body's names of the engine's keys. `id` of the request.
   */
  readonly errorBody: (
    error: unknown,
    names: KeyNames,
    id: string,
  ) => { readonly status: number; readonly body: unknown };
  /** The API's header with the id of the request, beside x-request-id. */
  readonly idHeader?: string;
}

const openai: ApiFamily = { name: "openai", errorBody: openAiError };

/** APIs by the beginnings of their paths. */
const families: readonly { readonly api: ApiFamily; readonly paths: RegExp }[] = [
  {
    api: { name: "anthropic", errorBody: anthropicError, idHeader: "request-id" },
    paths: /^\/v1\/(messages|complete|organizations)(\/|$)/,
  },
  { api: { name: "ollama", errorBody: ollamaError }, paths: /^\/api\// },
  {
    api: { name: "llama-server", errorBody: llamaError },
    paths:
      /^\/(completions?|tokenize|detokenize|apply-template|embeddings?|infill|rerank(ing)?|lora-adapters|slots|props)(\/|$)/,
  },
];

/** The API that a path belongs to; OpenAI's form where none is known. */
export function familyOf(path: string): ApiFamily {
  return families.find(({ paths }) => paths.test(path))?.api ?? openai;
}
