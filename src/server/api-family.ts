import { openAiError } from "../apis/openai/response.ts";
import type { KeyNames } from "../errors.ts";

/** One of the APIs that the server speaks. */
export interface ApiFamily {
  readonly name: string;
  /** HTTP status and body of an error in this API's form. `names`: the body's names of the engine's keys. */
  readonly errorBody: (error: unknown, names: KeyNames) => { readonly status: number; readonly body: unknown };
}

const openai: ApiFamily = { name: "openai", errorBody: openAiError };

/** The API that a path belongs to; OpenAI's form where none is known. */
export function familyOf(_path: string): ApiFamily {
  return openai;
}
