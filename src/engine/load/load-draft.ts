import type { Backend } from "../../compute/backend.ts";
import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import { DraftModel } from "../../decoding/proposers/draft-model.ts";
import type { ModelLocation } from "../../hub/index.ts";
import { compileProgram } from "../../model/compile.ts";
import { type OpenedModel, openModel } from "../../model/open/open-model.ts";
import { checkSameVocabulary } from "../../model/open/same-vocabulary.ts";

/**
 * Loads a draft model with a KV cache of `nPositions` for all sequences. @throws IdlmError "draft-mismatch" if the
 * vocabularies differ; else as `openModel`.
 */
export async function loadDraft(
  { path, kind }: ModelLocation,
  model: OpenedModel,
  backend: Backend,
  nPositions: number,
): Promise<DraftModel> {
  const opened = openModel(path, kind);
  try {
    checkSameVocabulary(model, opened);
    const loaded = await backend.load(compileProgram(opened));
    return new DraftModel(loaded, opened.config.contextLength, Math.ceil(nPositions / PAGE_SIZE));
  } finally {
    opened.close();
  }
}
