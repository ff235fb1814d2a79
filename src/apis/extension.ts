import type { Answer } from "../answer/types.ts";
import type { GenerationResult } from "../engine/types.ts";

/** An extension of the API: whether the output is that of plain decoding. */
export function extensionOf(results: readonly GenerationResult[]) {
  return { verify: results[0]?.verify, lossless: results.every(({ lossless }) => lossless) };
}

/** Keys of the body that were ignored. */
export function ignoredOf({ ignored }: { readonly ignored: readonly string[] }) {
  return ignored.length === 0 ? {} : { ignored: ignored.slice(0, MAX_IGNORED) };
}

/** Names of ignored keys in a response, so that a body of nonsense is not sent back. */
const MAX_IGNORED = 32;

/** How the first completion was decoded, for clients that ask for rounds. */
export function resultOf([result]: readonly GenerationResult[]) {
  if (result === undefined) return {};
  const { sha256, forwards, tokensPerForward, prefillMs, decodeMs, lossless } = result;
  return { result: { sha256, forwards, tokensPerForward, prefillMs, decodeMs, lossless } };
}

/** What a request asks of `idlm`. */
export interface ExtensionRequest {
  /** Unknown keys of the body. */
  readonly ignored: readonly string[];
  /** Whether records of rounds are wanted. */
  readonly rounds: boolean;
}

/** `idlm` of a body, or of the end of a stream. */
export function extensionBody(request: ExtensionRequest, { results }: Answer): Readonly<Record<string, unknown>> {
  return { ...extensionOf(results), ...ignoredOf(request), ...(request.rounds && resultOf(results)) };
}
