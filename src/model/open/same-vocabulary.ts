import { IdlmError } from "../../errors.ts";
import { tokenTypes } from "../../formats/gguf/gguf-vocabulary.ts";
import { quote } from "../../formats/files/malformed.ts";
import type { OpenedModel } from "./open-model.ts";

/**
 * Checks that a draft model has the same vocabulary as a model: the same size and the same tokens under the same ids. Ids
 * without a token (padding) match any token.
 * @throws IdlmError "draft-mismatch" naming the first difference.
 */
export function checkSameVocabulary(model: OpenedModel, draft: OpenedModel): void {
  const fail = (reason: string) => new IdlmError("draft-mismatch", { draft: draft.path, model: model.path, reason });
  const [size, own] = [model.config.vocabSize, draft.config.vocabSize];
  if (size !== own) throw fail(`its vocabulary has ${own} tokens, the model's ${size}`);
  const [tokens, drafted] = [tokensOf(model), tokensOf(draft)];
  if (tokens === undefined && drafted === undefined) return;
  if (tokens === undefined || drafted === undefined) {
    throw fail(`${tokens === undefined ? "the model" : "it"} has no tokenizer to compare`);
  }
  for (let id = 0; id < size; id++) {
    const [token, other] = [tokens[id], drafted[id]];
    if (token !== undefined && other !== undefined && token !== other) {
      throw fail(`its token ${id} is ${quote(other)}, the model's ${quote(token)}`);
    }
  }
}

/** By id; undefined: no token. */
function tokensOf({ vocabulary, text }: OpenedModel): (string | undefined)[] | undefined {
  if (vocabulary !== undefined) {
    const { tokens, types } = vocabulary;
    return tokens.map((token, id) => (types[id] === tokenTypes.unused ? undefined : token));
  }
  const tokenizerJson = text?.tokenizerJson;
  // Other types have not been checked and cannot be used.
  if (tokenizerJson?.model.type !== "BPE") return undefined;
  const tokens: (string | undefined)[] = [];
  for (const [token, id] of Object.entries(tokenizerJson.model.vocab)) tokens[id] = token;
  for (const { id, content } of tokenizerJson.added_tokens) tokens[id] = content;
  return tokens;
}
