import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { openSafetensors } from "../safetensors/safetensors.ts";
import { type TensorToWrite, tensorOf, writeSafetensors } from "../safetensors/safetensors-writer.ts";
import type { StoredTensor } from "../tensor/tensor.ts";
import { readAdapter } from "./adapter.ts";
import { quantiseInt8, readFloats } from "./int8-storage.ts";
import { readMaskEmbeddingFile } from "./mask-embedding.ts";

const fixtures = join(import.meta.dirname, "../../../test/fixtures");
const folder = mkdtempSync(join(tmpdir(), "idlm-adapter-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("readAdapter", () => {
  it("reads all parts of an adapter that enters at layer 1", () => {
    const { peft, idlm } = readAdapter(join(fixtures, "idlm/llama-tiny-entry1"));
    expect(peft?.config.layersToTransform).toEqual([1]);
    expect([...(peft?.modules.keys() ?? [])].every((name) => name.startsWith("model.layers.1."))).toBe(true);
    expect(idlm?.maskEmbedding).toMatchObject({ nDepths: 3, hiddenSize: 64, sharedByDepth: false });
    expect(idlm?.entryLayer).toBe(1);
    expect(idlm?.entryScale).not.toBe(1);
    expect(idlm?.draftVocabulary).toHaveLength(100);
    expect(idlm?.samplerHead?.w1).toHaveLength(64 * 128);
    expect(idlm?.samplerHead?.w2).toHaveLength(64 * 64);
    expect(idlm?.baseSha256).toBeUndefined();
  });

  it("reads a folder with PEFT's files only", () => {
    const { peft, idlm } = readAdapter(join(fixtures, "peft/llama-tiny-lora"));
    expect(peft?.modules.size).toBe(14);
    expect(idlm).toBeUndefined();
  });

  describe("with parts that contradict each other", () => {
    beforeEach(() => cpSync(join(fixtures, "idlm/llama-tiny-entry1"), folder, { recursive: true }));

    function withConfig(changes: Readonly<Record<string, unknown>>): void {
      const path = join(folder, "idlm_config.json");
      writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, "utf8")) as object), ...changes }));
    }

    function withTensors(change: (tensors: Map<string, TensorToWrite>) => void): void {
      const file = openSafetensors(join(fixtures, "idlm/llama-tiny-entry1/idlm.safetensors"));
      const tensors = new Map<string, TensorToWrite>(file.tensors);
      change(tensors);
      writeSafetensors(join(folder, "idlm.safetensors"), tensors);
      file.close();
    }

    it.each([
      [{ masks: 4 }, /mask_embedding".*expected 4 rows/],
      [{ draft_vocabulary: 99 }, /draft_vocabulary".*\[99\], found I32 \[100\]/],
      [{ entry_layer: -1 }, /entry_layer/],
      [{ sampler_head: "yes" }, /sampler_head: expected true or false/],
      [{ base_sha256: "../x" }, /64 hexadecimal digits/],
      [{ mask: 3 }, /key "mask"/],
    ])("says what is wrong with %j", (changes, message) => {
      withConfig(changes);
      expect(() => readAdapter(folder)).toThrow(message);
    });

    it("names the tensor that is missing, has the wrong shape, or is unknown", () => {
      withTensors((tensors) => tensors.delete("entry_scale"));
      expect(() => readAdapter(folder)).toThrow(/entry_scale".*idlm_config.json requires it/);
      withTensors((tensors) => tensors.set("sampler_head.w2", tensorOf(new Float32Array(64), [8, 8])));
      expect(() => readAdapter(folder)).toThrow(/sampler_head.w2": expected shape \[64, 64\], found \[8, 8\]/);
      withTensors((tensors) => tensors.set("extra", tensorOf(new Float32Array(1))));
      expect(() => readAdapter(folder)).toThrow(/tensor "extra"/);
    });

    it("rejects a draft vocabulary that is not in ascending order", () => {
      const ids = Int32Array.from({ length: 100 }, (_, i) => (i === 7 ? 6 : i));
      withTensors((tensors) => tensors.set("draft_vocabulary", tensorOf(ids)));
      expect(() => readAdapter(folder)).toThrow(/ascending, found 6 after 6/);
    });

    it("requires both of idlm's files", () => {
      rmSync(join(folder, "idlm.safetensors"));
      expect(() => readAdapter(folder)).toThrow(/idlm.safetensors: no such file/);
    });
  });
});

describe("readMaskEmbeddingFile", () => {
  it("distinguishes one shared vector from one per depth", () => {
    const shared = readMaskEmbeddingFile(join(fixtures, "gated/llama-tiny/mask_embedding.safetensors"));
    expect(shared).toMatchObject({ nDepths: 1, hiddenSize: 64, sharedByDepth: true });
    const path = join(folder, "mask.safetensors");
    writeSafetensors(path, { mask_embedding: tensorOf(Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2]) });
    const each = readMaskEmbeddingFile(path);
    expect(each).toMatchObject({ nDepths: 3, hiddenSize: 2, sharedByDepth: false });
    expect(each.values).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
  });

  it("rejects other shapes", () => {
    const path = join(folder, "mask.safetensors");
    writeSafetensors(path, { mask_embedding: tensorOf(new Float32Array(8), [2, 2, 2]) });
    expect(() => readMaskEmbeddingFile(path)).toThrow(
      /expected shape \[hidden\] or \[depth, hidden\], found \[2, 2, 2\]/,
    );
  });
});

describe("quantiseInt8", () => {
  const stored = (entries: readonly (readonly [string, TensorToWrite])[]) =>
    new Map(entries.map(([name, tensor]): [string, StoredTensor] => [name, { name, ...tensor }]));

  it("round-trips within half a step of each group's scale", () => {
    const matrix = fc
      .record({ rows: fc.integer({ min: 1, max: 5 }), cols: fc.integer({ min: 1, max: 70 }) })
      .chain(({ rows, cols }) =>
        fc.record({
          rows: fc.constant(rows),
          cols: fc.constant(cols),
          values: fc.float32Array({
            minLength: rows * cols,
            maxLength: rows * cols,
            noNaN: true,
            min: -1000,
            max: 1000,
          }),
        }),
      );
    fc.assert(
      fc.property(matrix, ({ rows, cols, values }) => {
        const tensors = stored(quantiseInt8("m", values, rows, cols));
        const tensor = tensors.get("m");
        if (tensor === undefined) throw new Error("no tensor m");
        const back = readFloats(tensor, tensors, "x");
        for (let i = 0; i < values.length; i++) {
          const row = Math.floor(i / cols);
          const from = row * cols + Math.floor((i % cols) / 32) * 32;
          const group = values.subarray(from, Math.min(from + 32, (row + 1) * cols));
          const max = group.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
          // The scale is most / 127, rounded up to an f16: by 2^-10 of itself, or by 2^-24 where it is subnormal.
          const step = (max / 127) * (1 + 2 ** -10) + 2 ** -24;
          expect(Math.abs((back[i] as number) - (values[i] as number))).toBeLessThanOrEqual((step / 2) * (1 + 1e-6));
        }
      }),
    );
  });

  it("rejects a matrix without a scale, or with a scale of the wrong shape", () => {
    const entries = quantiseInt8("m", new Float32Array(64), 2, 32);
    const tensors = stored(entries);
    const tensor = tensors.get("m");
    if (tensor === undefined) throw new Error("no tensor m");
    expect(() => readFloats(tensor, stored(entries.slice(0, 1)), "x")).toThrow(/I8 with a scale/);
    const wrong = stored([
      ...entries.slice(0, 1),
      ["m_scale", { type: "F16", shape: [1, 1], bytes: new Uint8Array(2) }],
    ]);
    expect(() => readFloats(tensor, wrong, "x")).toThrow(/expected F16 \[2, 1\], found F16 \[1, 1\]/);
  });
});
