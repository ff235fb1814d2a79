import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../../formats/gguf/gguf.ts";
import { writeGguf } from "../../formats/gguf/gguf-writer.ts";
import { load } from "../../index.ts";
import { collect } from "../terminal/collect-io.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/", import.meta.url));
const model = join(fixtures, "gguf/tiny64-Q8_0.gguf");
const folder = mkdtempSync(join(tmpdir(), "idlm-tokenize-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function json(argv: readonly string[], settings = {}) {
  const { status, stdout, stderr } = await collect(["tokenize", ...argv, "--json"], settings);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout);
}

describe("idlm tokenize", () => {
  it("gives the library's ids, with pieces and counts", async () => {
    const text = "the naïve cat 🎉";
    const loaded = await load(model, { adapter: false, backend: "reference" });
    const ids = loaded.tokenize(text);
    await loaded.dispose();
    const result = await json([model, text]);
    expect(result.ids).toEqual(ids);
    expect(result.pieces).toHaveLength(ids.length);
    expect(result.pieces.join("")).toBe(text);
    expect(result.counts).toEqual({ tokens: ids.length, characters: 15, bytes: 19 });
  });

  it("has pieces whose concatenation is the text", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 20 }), async (text) => {
        const { pieces, ids } = await json([model, "-"], { stdin: text });
        expect(pieces).toHaveLength(ids.length);
        expect(pieces.join("")).toBe(text);
      }),
      { numRuns: 40 },
    );
  });

  it("shows one token per line, and the bytes of partial characters", async () => {
    const { status, stdout, stderr } = await collect(["tokenize", model, 'a "é\x1b']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^ *\d+ {2}bytes c3$/m);
    expect(stdout).toContain(String.raw`"\""`);
    expect(stdout).not.toContain("\x1b");
    expect(stdout).toMatch(/\n\n\d+ tokens, 5 characters, 6 bytes\n$/);
    expect((await collect(["tokenize", model, ""])).stdout).toBe("0 tokens, 0 characters, 0 bytes\n");
  });

  it("recognises special tokens only with --special", async () => {
    expect((await json([model, "<|im_end|>", "--special"])).ids).toEqual([2]);
    const plain = await json([model, "<|im_end|>"]);
    expect(plain.ids.length).toBeGreaterThan(1);
    expect(plain.pieces.join("")).toBe("<|im_end|>");
  });

  it("needs no weights, only a vocabulary", async () => {
    const path = join(folder, "vocabulary.gguf");
    const file = openGguf(model);
    writeGguf(path, { metadata: file.metadata, tensors: [] });
    file.close();
    expect(await json([path, "the cat"])).toEqual(await json([model, "the cat"]));
  });

  it("rejects paths without a tokenizer, and invalid models", async () => {
    const bare = join(fixtures, "models/llama-tiny");
    expect(await collect(["tokenize", bare, "a"])).toMatchObject({ status: 2, stdout: "" });
    const broken = join(fixtures, "hostile/gguf-no-attn-q.gguf");
    expect(await collect(["tokenize", broken, "a"])).toMatchObject({ status: 3, stdout: "" });
    expect((await collect(["tokenize", join(folder, "nothing.gguf"), "a"])).status).toBe(3);
    expect((await collect(["tokenize", model])).status).toBe(2);
    const copy = join(folder, "copy");
    cpSync(bare, copy, { recursive: true });
    expect((await collect(["tokenize", join(copy, "tokenizer.json"), "a"])).status).toBe(3);
  });
});
