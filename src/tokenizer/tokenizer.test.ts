import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openGguf } from "../formats/gguf.ts";
import type { TokenizerJson } from "../formats/tokenizer-json.ts";
import { ChatTemplate, encodeChat, Tokenizer, tokenizerFromGguf } from "./index.ts";

const path = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "test", "fixtures", "gguf", "tiny64-Q8_0.gguf");

function tiny(change: (metadata: Map<string, unknown>) => void = () => {}): Tokenizer {
  const file = openGguf(path);
  const metadata = new Map<string, unknown>(file.metadata);
  file.close();
  change(metadata);
  const tokenizer = tokenizerFromGguf(metadata as never, path);
  if (tokenizer === undefined) throw new Error("no tokenizer");
  return tokenizer;
}

describe("Tokenizer", () => {
  const tokenizer = tiny();

  it("decodes what it encoded, any well-formed text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.toWellFormed());
      }),
    );
  });

  it("never makes a special token of a user's text", () => {
    const [special = ""] = tokenizer.specialTokens;
    expect(special).not.toBe("");
    expect(tokenizer.encode(`a${special}b`).some((id) => tokenizer.isSpecial(id))).toBe(false);
    expect(tokenizer.encode(`a${special}b`, { special: true }).filter((id) => tokenizer.isSpecial(id))).toHaveLength(1);
  });

  it("streams the same text as it decodes at once", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(tokenizer.vocabSize - 1)), (ids) => {
        const stream = tokenizer.streamDecoder();
        expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe(tokenizer.decode(ids));
      }),
    );
  });

  it("encodes a conversation without special tokens as its rendered text", () => {
    const template = new ChatTemplate("{% for m in messages %}{{ m['content'] }}|{% endfor %}", "t");
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1 }), (contents) => {
        const messages = contents.map((content) => ({ role: "user", content }));
        const whole = tokenizer.encode(template.render({ messages }), { special: true });
        if (tokenizer.specialTokens.some((token) => contents.join("|").includes(token))) return;
        expect(encodeChat(tokenizer, template, { messages })).toEqual(whole);
      }),
    );
  });

  it.each([
    ["another length of token types", "tokenizer.ggml.token_type", new Int32Array(3), /token_type/],
    ["tokens that are no strings", "tokenizer.ggml.tokens", [1, 2], /tokens/],
    ["merges of unknown tokens", "tokenizer.ggml.merges", ["zzzz yyyy"], /merges/],
    ["an end token beyond the vocabulary", "tokenizer.ggml.eos_token_id", 99999, /eos_token_id/],
    ["an unknown pre-tokeniser", "tokenizer.ggml.pre", "nobody", /nobody/],
    ["another kind of tokeniser", "tokenizer.ggml.model", "bert", /bert/],
  ])("refuses %s", (_, key, value, message) => {
    expect(() => tiny((metadata) => metadata.set(key, value))).toThrow(message);
  });

  it("ends a pattern of a file that takes for ever", () => {
    const json = {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: "Split", pattern: { Regex: "(\\p{L}+)+$" }, behavior: "Isolated", invert: false },
      model: { type: "BPE", vocab: { a: 0 }, merges: [] },
    } as unknown as TokenizerJson;
    const slow = new Tokenizer(json, { eosIds: [] }, "made/tokenizer.json");
    expect(slow.encode("aaaa")).toEqual([0, 0, 0, 0]);
    expect(() => slow.encode(`${"a".repeat(60)}!`)).toThrow(/made\/tokenizer\.json: pre_tokenizer.*takes too long/);
  }, 20_000);

  it.each([
    { type: "Replace", pattern: { Regex: "(a+)+$" }, content: "" },
    {
      type: "Sequence",
      normalizers: Array(8).fill({ type: "Replace", pattern: { String: "a" }, content: "aaaaaaaaaa" }),
    },
    { type: "Precompiled", precompiled_charsmap: "AAAA" },
  ])("refuses a normalizer that no known model has: %j", (normalizer) => {
    const json = {
      added_tokens: [],
      normalizer,
      pre_tokenizer: null,
      model: { type: "BPE", vocab: { a: 0 }, merges: [] },
    };
    expect(() => new Tokenizer(json as unknown as TokenizerJson, { eosIds: [] }, "x")).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringContaining("the normalizer") }),
    );
  });

  it("refuses ids that two tokens claim", () => {
    const json = {
      added_tokens: [{ id: 0, content: "<s>", special: true }],
      normalizer: null,
      pre_tokenizer: null,
      model: { type: "BPE", vocab: { a: 0 }, merges: [] },
    } as unknown as TokenizerJson;
    expect(() => new Tokenizer(json, { eosIds: [] }, "x")).toThrow(/added_tokens\[0\]/);
  });
});

describe("ChatTemplate", () => {
  const messages = [{ role: "user", content: "Hi" }];

  it("hands the template's own message on", () => {
    expect(() => new ChatTemplate("{{ raise_exception('only two') }}", "t").render({ messages })).toThrow(/only two/);
  });

  it("refuses what is no template, and no messages", () => {
    expect(() => new ChatTemplate("{% if %}", "t")).toThrow(/Jinja/);
    expect(() => new ChatTemplate("x", "t").render({ messages: [] })).toThrow(/no messages/);
  });

  it("joins parts of text", () => {
    const parts = [
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
    ];
    expect(new ChatTemplate("{{ messages[0]['content'] }}", "t").render({ messages: parts })).toBe("ab");
  });
});
