import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GgufValue } from "../formats/gguf/gguf-metadata.ts";
import { openGguf } from "../formats/gguf/gguf.ts";
import { type TokenizerJson, validateTokenizerJson } from "../formats/files/tokenizer-json.ts";
import { ChatTemplate, encodeChat, Tokenizer, tokenizerFromGguf } from "./index.ts";

const path = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "test", "fixtures", "gguf", "tiny64-Q8_0.gguf");

function tiny(change: (metadata: Map<string, GgufValue>) => void = () => {}): Tokenizer {
  const file = openGguf(path);
  const metadata = new Map(file.metadata);
  file.close();
  change(metadata);
  const tokenizer = tokenizerFromGguf(metadata, path);
  if (tokenizer === undefined) throw new Error("no tokenizer");
  return tokenizer;
}

describe("Tokenizer", () => {
  const tokenizer = tiny();

  it("round-trips any well-formed text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.toWellFormed());
      }),
    );
  });

  it("never recognises special tokens in plain text", () => {
    const [special = ""] = tokenizer.specialTokens;
    expect(special).not.toBe("");
    expect(tokenizer.encode(`a${special}b`).some((id) => tokenizer.isSpecial(id))).toBe(false);
    expect(tokenizer.encode(`a${special}b`, { special: true }).filter((id) => tokenizer.isSpecial(id))).toHaveLength(1);
  });

  it("streams the same text as it decodes", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(tokenizer.vocabSize - 1)), (ids) => {
        const stream = tokenizer.streamDecoder();
        expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe(tokenizer.decode(ids));
      }),
    );
  });

  it("encodes a conversation without special tokens like its rendered text", async () => {
    const template = new ChatTemplate("{% for m in messages %}{{ m['content'] }}|{% endfor %}", "t");
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string(), { minLength: 1 }), async (contents) => {
        const messages = contents.map((content) => ({ role: "user", content }));
        const whole = tokenizer.encode(await template.render({ messages }), { special: true });
        if (tokenizer.specialTokens.some((token) => contents.join("|").includes(token))) return;
        expect(await encodeChat(tokenizer, template, { messages })).toEqual(whole);
      }),
    );
  });

  it.each([
    ["another length of token types", "tokenizer.ggml.token_type", new Int32Array(3), /token_type/],
    ["tokens that are no strings", "tokenizer.ggml.tokens", [1, 2], /tokens/],
    ["merges of unknown tokens", "tokenizer.ggml.merges", ["zzzz yyyy"], /merges/],
    ["an end token beyond the vocabulary", "tokenizer.ggml.eos_token_id", 99999, /eos_token_id/],
    ["an unknown pre-tokenizer", "tokenizer.ggml.pre", "nobody", /nobody/],
    ["another kind of tokenizer", "tokenizer.ggml.model", "bert", /bert/],
  ])("rejects %s", (_, key, value, message) => {
    expect(() => tiny((metadata) => metadata.set(key, value))).toThrow(message);
  });

  it("stops an untrusted pattern that takes too long", () => {
    const json = {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: "Split", pattern: { Regex: "(\\p{L}+)+$" }, behavior: "Isolated", invert: false },
      model: { type: "BPE", vocab: { a: 0 }, merges: [] },
    } as unknown as TokenizerJson;
    const slow = new Tokenizer(json, { eosIds: [] }, "made/tokenizer.json");
    expect(slow.encode("aaaa")).toEqual([0, 0, 0, 0]);
    expect(() => slow.encode(`${"a".repeat(60)}!`)).toThrow(/made\/tokenizer\.json: pre_tokenizer.*takes too long/);
  }, 60_000);

  it.each([
    { type: "Replace", pattern: { Regex: "(a+)+$" }, content: "" },
    {
      type: "Sequence",
      normalizers: Array(8).fill({ type: "Replace", pattern: { String: "a" }, content: "aaaaaaaaaa" }),
    },
    { type: "Precompiled", precompiled_charsmap: "AAAA" },
  ])("rejects the normalizer %j", (normalizer) => {
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

  it("rejects ids that two tokens share", () => {
    const json = {
      added_tokens: [{ id: 0, content: "<s>", special: true }],
      normalizer: null,
      pre_tokenizer: null,
      model: { type: "BPE", vocab: { a: 0 }, merges: [] },
    } as unknown as TokenizerJson;
    expect(() => validateTokenizerJson(json, "x")).toThrow(/added_tokens\[0\]/);
  });
});

describe("ChatTemplate", () => {
  const messages = [{ role: "user", content: "Hi" }];
  const rendered = (source: string, more = {}) => new ChatTemplate(source, "t").render({ messages, ...more });

  it("passes on the template's message", async () => {
    await expect(rendered("{{ raise_exception('only two') }}")).rejects.toThrow(/only two/);
  });

  it("rejects an invalid template, and an empty conversation", async () => {
    await expect(rendered("{% if %}")).rejects.toThrow(/Jinja/);
    await expect(rendered("x", { messages: [] })).rejects.toThrow(/no messages/);
  });

  it("renders in order, whatever happens in between", async () => {
    const sources = [
      "{{ messages[0].content }}1",
      "{{ raise_exception('2') }}",
      "{% if %}",
      "{{ messages[0].content }}4",
    ];
    const order: number[] = [];
    const all = sources.map((source, i) => rendered(source).finally(() => order.push(i)));
    const [first, , , last] = await Promise.allSettled(all);
    expect([first, last]).toMatchObject([{ value: "Hi1" }, { value: "Hi4" }]);
    expect(order).toEqual([0, 1, 2, 3]);
  });

  it("sees special tokens in messages as they are, and encodes them as plain text", async () => {
    const tokenizer = tiny();
    const [token = ""] = tokenizer.specialTokens.filter((text) => text.length > 4);
    const content = `a${token}b`;
    const messages = [{ role: "user", content }];
    const source =
      "{{ messages[0].content|length }} {{ messages[0].content[1:4] }} {{ messages[0].content }} {{ messages[0] }}";
    const ids = await encodeChat(tokenizer, new ChatTemplate(source, "t"), { messages });
    expect(tokenizer.decode(ids)).toBe(
      `${content.length} ${token.slice(0, 3)} ${content} {'role': 'user', 'content': '${content}'}`,
    );
    expect(ids.filter((id) => tokenizer.isSpecial(id))).toEqual([]);
  });

  it("splits messages at a special token that it looks for itself", async () => {
    const tokenizer = tiny();
    const [token = "", other = ""] = tokenizer.specialTokens.filter((text) => text.length > 4);
    const messages = [{ role: "assistant", content: `thought${token}answer${other}` }];
    const source = `{{ messages[0].content.split('${token}')[-1] }}${token}`;
    const ids = await encodeChat(tokenizer, new ChatTemplate(source, "t"), { messages });
    expect(tokenizer.decode(ids)).toBe(`answer${other}${token}`);
    expect(ids.filter((id) => tokenizer.isSpecial(id))).toEqual([tokenizer.idOf(token)]);
  });

  it("passes reasoning under both of its names", async () => {
    const source = "{{ messages[0].reasoning_content }}|{{ messages[0].thinking }}";
    const turns = [{ role: "assistant", content: "", reasoning: "why" }];
    expect(await rendered(source, { messages: turns })).toBe("why|why");
  });

  it("joins text parts", async () => {
    const content = ["a", "b"].map((text) => ({ type: "text", text }));
    expect(await rendered("{{ messages[0]['content'] }}", { messages: [{ role: "user", content }] })).toBe("ab");
  });
});
