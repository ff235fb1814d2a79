import fc from "fast-check";
import type { GrammarState } from "../../src/grammar/grammar-state.ts";
import type { GrammarTokens } from "../../src/grammar/vocabulary.ts";

const encoder = new TextEncoder();

/** All bytes, some longer texts as a tokenizer has them, and an end token. */
export const walkTokens: readonly Uint8Array[] = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...[
    '{"',
    '": ',
    '", "',
    '"}',
    "}, {",
    ", ",
    ": ",
    "[]",
    "{}",
    "true",
    "null",
    "12",
    "0.",
    "-1",
    "e+",
    "ab",
    "é",
    "😀",
    '\\"',
    "\\u00",
    "2024-",
    "-0",
    "a@b.",
    "::",
  ].map((text) => encoder.encode(text)),
];
export const END = walkTokens.length;

/** A model's vocabulary of `vocabSize` tokens: those above the end token are no text. */
export function vocabularyOf(vocabSize: number): GrammarTokens {
  return { ...walkVocabulary, vocabSize };
}

export const walkVocabulary: GrammarTokens = {
  vocabSize: END + 1,
  tokenBytes: (id) => walkTokens[id],
  endTokens: new Set([END]),
};

export function allowedTokens({ allowed }: GrammarState): number[] {
  return Array.from({ length: END + 1 }, (_, id) => id).filter((id) => ((allowed[id >> 5] ?? 0) >>> (id & 31)) & 1);
}

/** After them a value tends to be over soon. */
const closing = [...'"}]n0'].map((character) => character.charCodeAt(0));

/**
 * A text that a random walk through a grammar writes; undefined: it got too long. Its steps are `choices`, then those
 * that end values.
 */
export function randomText(start: GrammarState, choices: readonly number[]): string | undefined {
  const bytes: number[] = [];
  let state = start;
  for (let step = 0; step < 600; step++) {
    const allowed = allowedTokens(state);
    if (allowed.length === 0) throw new Error(`nothing is allowed after ${Buffer.from(bytes).toString()}`);
    const choice = choices[step];
    const ends = allowed.includes(END) ? END : closing.find((id) => allowed.includes(id));
    const token =
      choice === undefined
        ? (ends ?? (allowed[(step * 7919) % allowed.length] as number))
        : (allowed[choice % allowed.length] as number);
    if (token === END) return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
    bytes.push(...(walkTokens[token] as Uint8Array));
    const next = state.after(token);
    if (next === undefined) throw new Error(`token ${token} is allowed, and refused`);
    state = next;
  }
  return undefined;
}

/** Whether a grammar accepts a text, byte by byte. */
export function accepts(start: GrammarState, text: string): boolean {
  let state: GrammarState | undefined = start;
  for (const byte of encoder.encode(text)) state = state?.after(byte);
  return state?.after(END) !== undefined;
}

export const walkChoices = fc.array(fc.nat(), { maxLength: 120 });
