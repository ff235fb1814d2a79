import { readFileSync } from "node:fs";
import Module, { createRequire } from "node:module";
import type { Expression, Grammar } from "../../src/grammar/expression.ts";
import type { GrammarTokens } from "../../src/grammar/vocabulary.ts";

type Library = typeof import("@mlc-ai/web-xgrammar");
type Matcher = Awaited<ReturnType<Library["GrammarMatcher"]["createGrammarMatcher"]>>;

/** The library is a CommonJS file in a package of ES modules. */
function loadLibrary(): Library {
  const file = createRequire(import.meta.url).resolve("@mlc-ai/web-xgrammar");
  const module = new Module(file);
  (module as unknown as { _compile(source: string, file: string): void })._compile(readFileSync(file, "utf8"), file);
  return module.exports as Library;
}

/** Compiles grammars with xgrammar, an independent implementation, as an oracle. */
export async function xgrammarCompiler({ vocabSize, tokenBytes, endTokens }: GrammarTokens) {
  const library = loadLibrary();
  const tokens = Array.from({ length: vocabSize }, (_, id) => [...(tokenBytes(id) ?? [])].map(letter).join(""));
  const info = await library.TokenizerInfo.createTokenizerInfo(tokens, "byte_level", false, vocabSize, [...endTokens]);
  const compiler = await library.GrammarCompiler.createGrammarCompiler(info, false);
  return async (grammar: Grammar): Promise<Matcher> => {
    const compiled = await compiler.compileGrammar(await library.Grammar.fromEBNF(ebnfOf(grammar)));
    const matcher = await library.GrammarMatcher.createGrammarMatcher(compiled);
    compiled.dispose();
    return matcher;
  };
}

/** A byte in the alphabet of byte-level tokenizers. */
function letter(byte: number): string {
  const isShown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  if (isShown) return String.fromCharCode(byte);
  return String.fromCharCode(256 + (byte < 33 ? byte : byte === 173 ? 67 : byte - 127 + 33));
}

function ebnfOf({ root, rules }: Grammar): string {
  const names = new Map([...rules.keys()].map((name, i) => [name, `rule${i}`]));
  const write = (expression: Expression): string => {
    switch (expression.kind) {
      case "text":
        return `"${Array.from(expression.text, escaped).join("")}"`;
      case "characters":
        return `[${expression.set.map(([first, last]) => `${code(first)}-${code(last)}`).join("")}]`;
      case "sequence":
        return expression.parts.length === 0 ? '""' : `(${expression.parts.map(write).join(" ")})`;
      case "choice":
        return `(${expression.parts.map(write).join(" | ")})`;
      case "rule":
        return names.get(expression.name) as string;
      case "repeat":
        return `(${write(expression.part)}){${expression.min},${expression.max ?? ""}}`;
    }
  };
  const lines = [...rules].map(([name, body]) => `${names.get(name)} ::= ${write(body)}`);
  return [`root ::= ${write(root)}`, ...lines].join("\n");
}

function escaped(character: string): string {
  return code(character.codePointAt(0) as number);
}

function code(point: number): string {
  return `\\U${point.toString(16).padStart(8, "0")}`;
}
