import type { Proposed } from "../../compute/sampling/proposal.ts";
import type { SequenceGrammar } from "../round/sequence-grammar.ts";
import { noCandidates, type Proposer } from "./proposer.ts";

/** Confidence in a token that is followed by more forced text, and in the last one, which a longer token may replace. */
const INNER = 0.95;
const LAST = 0.7;
/** Tokenized texts that are kept. */
const MAX_KEPT = 200;

/** What a grammar proposer needs. */
export interface GrammarParts {
  readonly grammar: SequenceGrammar;
  /** Token ids of a text. */
  readonly encode: (text: string) => readonly number[];
}

/**
 * Proposes the text that the grammar forces (jump-forward decoding: Zheng et al., SGLang, arXiv 2312.07104, section 3),
 * in the tokens that the tokenizer makes of it. Verified like any other proposal: the model may split it differently.
 */
export class GrammarProposer implements Proposer {
  readonly kind = "grammar";
  readonly #parts: GrammarParts;
  readonly #encoded = new Map<string, readonly number[]>();

  constructor(parts: GrammarParts) {
    this.#parts = parts;
  }

  observe(): void {}

  candidates(path: readonly number[]): Proposed {
    const [token, ...rest] = this.#encode(this.#parts.grammar.after(path)?.forced ?? "");
    if (token === undefined) return noCandidates;
    return { tokens: Int32Array.of(token), confidences: Float32Array.of(rest.length > 0 ? INNER : LAST) };
  }

  #encode(forced: string): readonly number[] {
    if (forced === "") return [];
    let ids = this.#encoded.get(forced);
    if (ids === undefined) {
      ids = this.#parts.encode(forced);
      if (this.#encoded.size === MAX_KEPT) this.#encoded.clear();
      this.#encoded.set(forced, ids);
    }
    return ids;
  }
}
