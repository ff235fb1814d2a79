import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { ByteFile, setFileMapper } from "../files/map-file.ts";
import { openSafetensors } from "../safetensors/safetensors.ts";
import { toFloat32 } from "../tensor/dequantise.ts";
import { openGguf } from "./gguf.ts";

const fixtures = join(import.meta.dirname, "../../../test/fixtures");
const vocabularies = join(import.meta.dirname, "../../../../shared/fixtures/tokenizer");

describe("openGguf", () => {
  it("reads metadata by type: strings, numbers, arrays", () => {
    const gguf = openGguf(join(fixtures, "gguf/tiny256-Q4_1.gguf"));
    expect(gguf.version).toBe(3);
    expect(gguf.metadata.get("general.architecture")).toBe("llama");
    expect(gguf.metadata.get("llama.block_count")).toBe(2);
    expect(gguf.metadata.get("llama.attention.layer_norm_rms_epsilon")).toBeCloseTo(1e-5, 9);
    const tokens = gguf.metadata.get("tokenizer.ggml.tokens");
    expect(Array.isArray(tokens) && tokens.length).toBe(320);
    expect(gguf.metadata.get("tokenizer.ggml.token_type")).toBeInstanceOf(Int32Array);
    gguf.close();
  });

  it("gives the same weights and shapes as the model's safetensors file", () => {
    const gguf = openGguf(join(fixtures, "models/qwen3-tiny/model.f32.gguf"));
    const safetensors = openSafetensors(join(fixtures, "models/qwen3-tiny/model.safetensors"));
    const names = [
      ["token_embd.weight", "model.embed_tokens.weight"],
      ["blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight"],
      ["blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight"],
    ];
    for (const [ggufName = "", hfName = ""] of names) {
      const a = gguf.tensors.get(ggufName);
      const b = safetensors.tensors.get(hfName);
      if (a === undefined || b === undefined) throw new Error(`no tensor ${ggufName}`);
      expect(a.shape).toEqual(b.shape);
      expect(toFloat32(a)).toEqual(toFloat32(b));
    }
    gguf.close();
    safetensors.close();
  });

  it("reports a missing file", () => {
    expect(() => openGguf(join(fixtures, "none.gguf"))).toThrow(expect.objectContaining({ code: "file-missing" }));
  });

  it.skipIf(!existsSync(vocabularies))("reads vocabularies of 150,000 tokens (skipped without ../shared)", () => {
    const gguf = openGguf(join(vocabularies, "ggml-vocab-qwen2.gguf"));
    const tokens = gguf.metadata.get("tokenizer.ggml.tokens");
    expect(Array.isArray(tokens) && tokens.length).toBeGreaterThan(150_000);
    gguf.close();
  });
});

describe("ByteFile", () => {
  const path = join(fixtures, "gguf/tiny64-F16.gguf");
  afterEach(() => setFileMapper(undefined));

  it("maps a file once, on the first use of its data, and unmaps it on close", () => {
    const events: string[] = [];
    const buffer = new ArrayBuffer(1_000_000);
    setFileMapper({
      mapFile: (name) => {
        events.push(`map ${name}`);
        return buffer;
      },
      unmapFile: (b) => void events.push(`unmap ${b === buffer}`),
    });
    const gguf = openGguf(path);
    expect(events).toEqual([]);
    const [first, second] = [...gguf.tensors.values()];
    expect(first?.bytes.buffer).toBe(buffer);
    expect(second?.bytes.buffer).toBe(buffer);
    expect(first?.bytes.byteOffset).toBe(first?.offset);
    gguf.close();
    gguf.close();
    expect(events).toEqual([`map ${path}`, "unmap true"]);
  });

  it("rejects ranges beyond the mapping or the file", () => {
    setFileMapper({ mapFile: () => new ArrayBuffer(16), unmapFile: () => {} });
    const file = new ByteFile(path);
    expect(() => file.view(0, 17)).toThrow(/truncated/);
    expect(() => file.read(file.size - 1, 2)).toThrow(RangeError);
    file.close();
  });
});
