import { IdlmError } from "../../errors.ts";
import { MAX_THREADS, NUMERICS } from "../backend.ts";
import { PAGE_SIZE } from "../forest/forest.ts";
import { MAX_POSITION, MAX_ROWS } from "../forest/layout.ts";
import { MAX_LOGPROBS } from "../sampling/settings.ts";

/** Constants that TypeScript and the addon must agree on; the addon exports its own (native/src/constants.h). */
const constants: Readonly<Record<string, number>> = {
  numerics: NUMERICS,
  pageSize: PAGE_SIZE,
  maxRows: MAX_ROWS,
  maxPosition: MAX_POSITION,
  maxLogprobs: MAX_LOGPROBS,
  maxThreads: MAX_THREADS,
};

/**
 * Compares the constants that an addon exports with those of this version.
 * @throws IdlmError "backend" that names each difference.
 */
export function checkConstants(found: Readonly<Record<string, number>> = {}): void {
  const names = new Set([...Object.keys(constants), ...Object.keys(found)]);
  const differences = [...names]
    .filter((name) => found[name] !== constants[name])
    .map((name) => `${name} is ${found[name]}, expected ${constants[name]}`);
  if (differences.length === 0) return;
  throw new IdlmError("backend", {
    backend: "native",
    reason: `the addon was built from another version: ${differences.join("; ")}`,
    hint: "Run `npm run install` to build it again.",
  });
}
