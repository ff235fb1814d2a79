import type { Answer } from "../answer/types.ts";
import type { GenerationResult } from "../engine/types.ts";

/** An extension of the API: whether the output is that of plain decoding. */
function extensionOf(results: readonly GenerationResult[]) {
  return { verify: results[0]?.verify, lossless: results.every(({ lossless }) => lossless) };
}

/** Keys of the body that were ignored. */
export function ignoredOf({ ignored }: { readonly ignored: readonly string[] }) {
  return ignored.length === 0 ? {} : { ignored: ignored.slice(0, MAX_IGNORED) };
}

/** Names of ignored keys in a response, so that a body of nonsense is not sent back. */
const MAX_IGNORED = 32;

/** How the first completion was decoded, and all of them if there are several, for clients that ask for rounds. */
export function resultOf({ choices, results }: Answer) {
  const all = choices.map(({ index, prompt, completion: { sha256, forwards, tokensPerForward } }) => {
    const { prefillMs, decodeMs, lossless } = results[prompt] as GenerationResult;
    return { index, result: { sha256, forwards, tokensPerForward, prefillMs, decodeMs, lossless } };
  });
  const [first] = all;
  if (first === undefined) return {};
  return {
    result: first.result,
    ...(all.length > 1 && { results: all.map(({ index, result }) => ({ index, ...result })) }),
  };
}

/** What a request asks of `idlm`. */
export interface ExtensionRequest {
  /** Unknown keys of the body. */
  readonly ignored: readonly string[];
  /** Whether records of rounds are wanted. */
  readonly rounds: boolean;
}

/** `idlm` of a body, or of the end of a stream. */
export function extensionBody(request: ExtensionRequest, answer: Answer): Readonly<Record<string, unknown>> {
  return { ...extensionOf(answer.results), ...ignoredOf(request), ...(request.rounds && resultOf(answer)) };
}
