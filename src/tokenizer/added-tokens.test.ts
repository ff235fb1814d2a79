import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Tokenizer } from "./index.ts";

const fixtures = join(import.meta.dirname, "..", "..", "test", "fixtures");
// biome-ignore lint/suspicious/noExplicitAny: goldens are not validated
const json = (...path: string[]): any => JSON.parse(readFileSync(join(fixtures, ...path), "utf8"));

/** Ids by `tokenizers` (scripts/added-token-cases.py). */
const base = json("reports", "04-added-token-flags", "model", "tokenizer.json");
const cases: [string, ReturnType<typeof json>][] = json("added-token-cases.json").map(
  ({ texts, ids, plain, ...change }: ReturnType<typeof json>) => [
    JSON.stringify(change),
    { texts, ids, plain, change },
  ],
);

describe("flags of added tokens and patterns agree with tokenizers", () => {
  it.each(cases)("%s", (_, { texts, ids, plain, change }) => {
    const tokenizer = new Tokenizer({ ...base, ...change }, { eosIds: [] }, "tokenizer.json");
    expect(texts.map((text: string) => tokenizer.encode(text, { special: true }))).toEqual(ids);
    if (plain !== undefined) expect(texts.map((text: string) => tokenizer.encode(text))).toEqual(plain);
  });
});
