import type { Automaton, State } from "./automaton/automaton.ts";
import { allow, type Vocabulary } from "./vocabulary.ts";

/**
 * Where a text is in its grammar. States are immutable: a tree of proposals has one for each of its tokens, and nothing
 * has to be taken back.
 */
export interface GrammarState {
  /** A bit per token of the vocabulary, 1: allowed. Shared, not to be changed. @throws IdlmError "usage" as `after`. */
  readonly allowed: Uint32Array;
  /** Whether the text is complete and nothing can follow it. */
  readonly isComplete: boolean;
  /** The text that has to follow, as far as there is no choice; empty: there is one. */
  readonly forced: string;
  /**
   * The state after one more token; undefined: the grammar does not allow it. @throws IdlmError "usage" if the grammar is
   * too ambiguous to be followed.
   */
  after(token: number): GrammarState | undefined;
}

/** Masks kept by a grammar; each has a bit per token. */
const MAX_MASKS = 500;
/** Longest forced text, in bytes. */
const MAX_FORCED = 256;

/** A grammar over the tokens of a vocabulary. */
export class TokenGrammar {
  readonly #automaton: Automaton;
  readonly #vocabulary: Vocabulary;
  /** In order of use, so that the oldest is forgotten. */
  readonly #masks = new Map<State, Uint32Array>();
  readonly #ended: GrammarState;

  constructor(automaton: Automaton, vocabulary: Vocabulary) {
    this.#automaton = automaton;
    this.#vocabulary = vocabulary;
    const ended: GrammarState = { allowed: vocabulary.endMask, isComplete: true, forced: "", after: () => ended };
    this.#ended = ended;
  }

  /** The state before the first token. */
  get start(): GrammarState {
    return this.#stateOf(this.#automaton.start);
  }

  #stateOf(state: State): GrammarState {
    const grammar = this;
    return {
      get allowed() {
        return grammar.#allowed(state);
      },
      get isComplete() {
        return state.canEnd && state.threads.length === 0;
      },
      get forced() {
        return grammar.#forced(state);
      },
      after: (token) => grammar.#after(state, token),
    };
  }

  #after(from: State, token: number): GrammarState | undefined {
    if (this.#vocabulary.endTokens.has(token)) return from.canEnd ? this.#ended : undefined;
    const bytes = this.#vocabulary.bytesOf(token);
    if (bytes.length === 0) return undefined;
    this.#automaton.addSteps();
    let state: State | null = from;
    for (const byte of bytes) {
      state = this.#automaton.after(state, byte);
      if (state === null) return undefined;
    }
    return this.#stateOf(state);
  }

  #allowed(state: State): Uint32Array {
    const known = this.#masks.get(state);
    const mask = known ?? this.#computeMask(state);
    this.#masks.delete(state);
    this.#masks.set(state, mask);
    if (this.#masks.size > MAX_MASKS) {
      const [oldest] = this.#masks.keys();
      this.#masks.delete(oldest as State);
    }
    return mask;
  }

  #computeMask(from: State): Uint32Array {
    const { endMask, tree } = this.#vocabulary;
    const { byte, depth, skip, firstToken, tokens } = tree;
    const automaton = this.#automaton;
    const mask = new Uint32Array(endMask.length);
    if (from.canEnd) mask.set(endMask);
    automaton.addSteps();
    const states: State[] = [from];
    for (let node = 0; node < byte.length; ) {
      const at = depth[node] as number;
      const state = automaton.after(states[at] as State, byte[node] as number);
      if (state === null) {
        node = skip[node] as number;
        continue;
      }
      states[at + 1] = state;
      const end = firstToken[++node] as number;
      for (let i = firstToken[node - 1] as number; i < end; i++) allow(mask, tokens[i] as number);
    }
    return mask;
  }

  #forced(from: State): string {
    const bytes: number[] = [];
    this.#automaton.addSteps();
    for (let state: State | null = from; state !== null && bytes.length < MAX_FORCED; ) {
      const byte = state.canEnd ? undefined : this.#automaton.onlyByte(state);
      if (byte === undefined) break;
      bytes.push(byte);
      state = this.#automaton.after(state, byte);
    }
    // From inside of a character, tokens of bytes would be needed.
    const [first] = bytes;
    if (first === undefined || (first & 0xc0) === 0x80) return "";
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return decoder.decode(Uint8Array.from(bytes), { stream: true });
  }
}
