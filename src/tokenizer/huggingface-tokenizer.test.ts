import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { TokenizerJson } from "../formats/files/tokenizer-json.ts";
import { type Tokenizer, tokenizerFromFolder } from "./index.ts";

const model = join(import.meta.dirname, "..", "..", "test", "fixtures", "reports", "04-added-token-flags", "model");
const base = JSON.parse(readFileSync(join(model, "tokenizer.json"), "utf8")) as TokenizerJson;

function tokenizer(change: Readonly<Record<string, unknown>>): Tokenizer | undefined {
  const texts = { tokenizerConfig: {}, modelConfig: {}, specialTokensMap: {}, endIds: [] };
  const templates = { chatTemplate: undefined, toolTemplate: undefined };
  return tokenizerFromFolder("folder", { ...texts, ...templates, tokenizerJson: { ...base, ...change } });
}

const unsupported = (message: string) =>
  expect.objectContaining({ code: "unsupported", message: expect.stringContaining(message) });

describe("post_processor", () => {
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const text = { Sequence: { id: "A", type_id: 0 } };
  const template = (...single: unknown[]) => ({ type: "TemplateProcessing", single, pair: [], special_tokens: {} });

  it.each([
    [null, false],
    [{ type: "ByteLevel" }, false],
    [template(special("<|user|>"), text), true],
    [template(text, special("<|user|>")), false],
    [{ type: "Sequence", processors: [{ type: "ByteLevel" }, template(special("<|user|>"), text)] }, true],
    [{ type: "RobertaProcessing", sep: ["<|end|>", 256], cls: ["<|user|>", 257] }, true],
  ])("%j", (post_processor, addsBos) => {
    const found = tokenizer({ post_processor });
    expect(found?.addsBos).toBe(addsBos);
    expect(found?.bosId).toBe(addsBos ? 257 : undefined);
  });

  it("is refused if it adds something else", () => {
    expect(() => tokenizer({ post_processor: template(special("a"), special("b"), text) })).toThrow(
      unsupported("a post_processor with 2 tokens before a text"),
    );
    expect(() => tokenizer({ post_processor: { type: "Reverse" } })).toThrow(
      unsupported('the post_processor "Reverse"'),
    );
  });
});

describe("decoder", () => {
  const replace = { type: "Replace", pattern: { String: "▁" }, content: " " };
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  const sequence = (...decoders: unknown[]) => ({ type: "Sequence", decoders });
  const spaces = {
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    added_tokens: [],
    model: { type: "BPE", vocab: { "▁": 0, a: 1 }, merges: [], byte_fallback: true },
  };

  it.each([
    [null, "a"],
    [sequence(replace, { type: "ByteFallback" }, { type: "Fuse" }, strip), "a"],
    [sequence(replace, { type: "ByteFallback" }, { type: "Fuse" }), " a"],
  ])("%j", (decoder, text) => {
    const found = tokenizer({ ...spaces, decoder });
    expect(found?.decode(found.encode("a"))).toBe(text);
  });

  it.each([
    { decoder: { type: "WordPiece", prefix: "##", cleanup: true } },
    { decoder: sequence({ type: "ByteLevel" }, { type: "Replace", pattern: { String: "a" }, content: "b" }) },
    { ...spaces, decoder: sequence(replace, { type: "Strip", content: " ", start: 0, stop: 1 }) },
  ])("is refused if it changes texts: %j", (change) => {
    expect(() => tokenizer(change)).toThrow(unsupported("the decoder"));
  });
});

it("refuses dropout", () => {
  expect(() => tokenizer({ model: { ...base.model, dropout: 0.1 } })).toThrow(unsupported("dropout 0.1"));
  expect(tokenizer({ model: { ...base.model, dropout: 0 } })).toBeDefined();
});

describe("vocabularies of characters and of bytes", () => {
  const vocab = { "<unk>": 0, a: 1, b: 2, " ": 3, ab: 4, é: 5 };
  const characters = (more: Readonly<Record<string, unknown>> = {}) =>
    tokenizer({
      added_tokens: [],
      pre_tokenizer: null,
      model: { type: "BPE", vocab, merges: [["a", "b"]], unk_token: "<unk>", ...more },
    });

  // Ids by tokenizers 0.23.3.
  it("encode characters where nothing turns them into bytes", () => {
    expect(characters()?.encode("ab é日日b")).toEqual([4, 3, 5, 0, 0, 2]);
    expect(characters({ fuse_unk: true })?.encode("ab é日日b")).toEqual([4, 3, 5, 0, 2]);
    expect(characters({ unk_token: null })?.encode("ab é日日b")).toEqual([4, 3, 5, 2]);
    expect(characters({ unk_token: null })?.encode("a日b")).toEqual([4]);
    expect(characters()?.decode([4, 3, 5])).toBe("ab é");
  });

  it("are refused where bytes are split again, or have a fallback, too", () => {
    const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
    const digits = { type: "Digits", individual_digits: true };
    expect(() => tokenizer({ pre_tokenizer: { type: "Sequence", pretokenizers: [bytes, digits] } })).toThrow(
      unsupported('the pre-tokenizer ByteLevel before "Digits"'),
    );
    expect(() =>
      tokenizer({ pre_tokenizer: bytes, decoder: null, model: { ...base.model, byte_fallback: true } }),
    ).toThrow(unsupported("the pre-tokenizer ByteLevel with byte_fallback"));
  });
});
