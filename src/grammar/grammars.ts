import { Automaton } from "./automaton/automaton.ts";
import type { Program } from "./automaton/program.ts";
import { type GrammarRequest, programOf } from "./grammar.ts";
import { TokenGrammar } from "./grammar-state.ts";
import { grammarProblem } from "./problem.ts";
import { type GrammarTokens, type TokenTexts, type TokenTree, textsOf, treeOf, Vocabulary } from "./vocabulary.ts";

/** Where a request has its grammar. */
export const GRAMMAR_PATH = "grammar";

/** Compiled grammars that are kept. */
const MAX_CACHED = 32;

/** Does the work of grammars that takes long outside of this thread. */
export interface GrammarCompiler {
  /** `json`: a GrammarRequest. Rejects with an IdlmError "usage" that names what is wrong. */
  compile(json: string): Promise<Program>;
  treeOf(texts: TokenTexts): Promise<TokenTree>;
}

/** Compiles grammars for the vocabulary of a model, and keeps the last ones. */
export class Grammars {
  readonly #tokens: GrammarTokens;
  #compiler: GrammarCompiler | undefined;
  /** Made on first use. */
  #vocabulary: Vocabulary | undefined;
  #coming: Promise<Vocabulary> | undefined;
  /** By request, in order of use. */
  readonly #compiled = new Map<string, TokenGrammar>();
  /** Those that are being compiled. */
  readonly #pending = new Map<string, Promise<TokenGrammar>>();

  constructor(tokens: GrammarTokens) {
    this.#tokens = tokens;
  }

  /** Has `get` compile grammars with it. */
  setCompiler(compiler: GrammarCompiler): void {
    this.#compiler = compiler;
  }

  /** A promise if there is a compiler and the grammar is new to it. @throws IdlmError "usage", naming what is wrong. */
  get(request: GrammarRequest): TokenGrammar | Promise<TokenGrammar> {
    const key = keyOf(request);
    if (this.#compiled.has(key) || this.#compiler === undefined) return this.compile(request, key);
    return this.#compileElsewhere(key, this.#compiler);
  }

  /** In this thread. @throws IdlmError "usage", naming what is wrong. */
  compile(request: GrammarRequest, key = keyOf(request)): TokenGrammar {
    const known = this.#compiled.get(key);
    return this.#keep(key, known ?? this.#grammarOf(programOf(request, GRAMMAR_PATH), this.#ownVocabulary()));
  }

  #compileElsewhere(key: string, compiler: GrammarCompiler): Promise<TokenGrammar> {
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const compiling = (async () => {
      try {
        const [program, vocabulary] = await Promise.all([compiler.compile(key), this.#comingVocabulary(compiler)]);
        return this.#keep(key, this.#grammarOf(program, vocabulary));
      } finally {
        this.#pending.delete(key);
      }
    })();
    this.#pending.set(key, compiling);
    // A request that is wrong in other ways, too, does not wait for it.
    compiling.catch(() => {});
    return compiling;
  }

  #grammarOf(program: Program, vocabulary: Vocabulary): TokenGrammar {
    return new TokenGrammar(new Automaton(program, GRAMMAR_PATH), vocabulary);
  }

  #ownVocabulary(): Vocabulary {
    if (this.#vocabulary === undefined) {
      const texts = textsOf(this.#tokens);
      this.#vocabulary = new Vocabulary(this.#tokens, texts, treeOf(texts));
    }
    return this.#vocabulary;
  }

  async #comingVocabulary(compiler: GrammarCompiler): Promise<Vocabulary> {
    if (this.#vocabulary !== undefined) return this.#vocabulary;
    this.#coming ??= (async () => {
      try {
        const texts = textsOf(this.#tokens);
        this.#vocabulary = new Vocabulary(this.#tokens, texts, await compiler.treeOf(texts));
        return this.#vocabulary;
      } finally {
        this.#coming = undefined;
      }
    })();
    return this.#coming;
  }

  #keep(key: string, grammar: TokenGrammar): TokenGrammar {
    this.#compiled.delete(key);
    this.#compiled.set(key, grammar);
    if (this.#compiled.size > MAX_CACHED) {
      const [oldest] = this.#compiled.keys();
      this.#compiled.delete(oldest as string);
    }
    return grammar;
  }
}

/** The same for equal requests. */
function keyOf(request: GrammarRequest): string {
  try {
    return JSON.stringify(request);
  } catch {
    throw grammarProblem(GRAMMAR_PATH, "it cannot be written as JSON, or is nested too deep");
  }
}
