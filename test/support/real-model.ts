import { existsSync } from "node:fs";
import { cachedPath, findEntry } from "../../src/hub/index.ts";

/**
 * SmolLM2-135M-Instruct's GGUF for tests named *.model.test.ts: the file of IDLM_TEST_MODEL, else the one in the cache from
 * `idlm pull smollm2-135m-instruct`; undefined if there is neither.
 */
export function realModelPath(): string | undefined {
  const entry = findEntry("smollm2-135m-instruct");
  const path = process.env.IDLM_TEST_MODEL ?? (entry === undefined ? undefined : cachedPath(entry));
  return path !== undefined && existsSync(path) ? path : undefined;
}
