import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createNativeBackend, supportedInstructionSets } from "../src/compute/native/index.ts";
import type { Program } from "../src/compute/program/program.ts";
import { neutralSettings } from "../src/compute/sampling/settings.ts";
import { readAdapter } from "../src/formats/adapter/adapter.ts";
import type { CompileOptions } from "../src/model/compile.ts";
import { chain, fixtures, golden, loadFixture } from "./support/backend-contract.ts";
import { nativeTestBinding } from "./support/native-test-binding.ts";
import { expectCommitted, sha256Of } from "./support/numerics.ts";
import { quantised } from "./support/quantised-program.ts";
import { composition, expectSameBits, plainHashes } from "./support/same-bits.ts";

const instructionSets = supportedInstructionSets();
const ids: number[] = golden("models", "llama-tiny", "golden.json").input_ids;

const adapter = (name: string): CompileOptions => ({ adapter: readAdapter(join(fixtures, "idlm", name)) });
type Change = (program: Program) => Program;
interface Fixture {
  readonly name: string;
  readonly path: string;
  readonly kind: "gguf" | "huggingface";
  readonly options: CompileOptions;
  readonly change: Change;
}
const same: Change = (program) => program;
const fixture = (
  name: string,
  path: string,
  kind: Fixture["kind"],
  options: CompileOptions = {},
  change = same,
): Fixture => ({ name, path, kind, options, change });
const models: readonly Fixture[] = [
  fixture("llama-tiny", "models/llama-tiny", "huggingface"),
  fixture("llama-tiny with adapter", "models/llama-tiny", "huggingface", adapter("llama-tiny-entry0")),
  fixture("llama-tiny with late entry", "models/llama-tiny", "huggingface", adapter("llama-tiny-entry1")),
  fixture("llama-rope3", "models/llama-rope3", "huggingface"),
  fixture("qwen2-tiny", "models/qwen2-tiny", "huggingface"),
  fixture("qwen3-tiny (BF16)", "models/qwen3-tiny", "huggingface"),
  fixture("tiny64 F16", "gguf/tiny64-F16.gguf", "gguf"),
  fixture("tiny64 BF16", "gguf/tiny64-BF16.gguf", "gguf"),
  fixture("tiny64 Q8_0", "gguf/tiny64-Q8_0.gguf", "gguf"),
  fixture("llama-tiny Q4_1", "models/llama-tiny", "huggingface", {}, (p) => quantised(p, "Q4_1", "Q8_0")),
  fixture("llama-tiny Q4_1 with adapter", "models/llama-tiny", "huggingface", adapter("llama-tiny-entry0"), (p) =>
    quantised(p, "Q4_1", "Q8_0"),
  ),
  fixture("llama-tiny Q4_1 with late entry", "models/llama-tiny", "huggingface", adapter("llama-tiny-entry1"), (p) =>
    quantised(p, "Q4_1", "Q8_0"),
  ),
  fixture("qwen3-tiny Q4_0", "models/qwen3-tiny", "huggingface", {}, (p) => quantised(p, "Q4_0")),
  fixture("qwen2-tiny Q8_0", "models/qwen2-tiny", "huggingface", {}, (p) => quantised(p, "Q8_0")),
  fixture("qwen2 Q8_0", "gguf/tiny-qwen2-Q8_0.gguf", "gguf"),
  // One of each type, as llama.cpp quantises; K mixtures have up to four types.
  ...["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS"].map((type) =>
    fixture(`tiny256 ${type}`, `gguf/tiny256-${type}.gguf`, "gguf"),
  ),
];

describe("same bits", () => {
  it.each(models)(
    "$name: any composition of rows, every instruction set, 1 to 4 threads",
    async ({ name, path, kind, options, change }) => {
      let committed: readonly string[] | undefined;
      for (const instructionSet of instructionSets) {
        // Every type has its own inner loop, but work is split in the same way for all.
        for (const threads of name.startsWith("tiny256") ? [1, 3] : [1, 2, 3, 4]) {
          const backend = createNativeBackend({ threads, instructionSet });
          const model = await loadFixture(backend, path, kind, options, change);
          const plain = await plainHashes(model, ids);
          committed ??= plain;
          expect(plain, `${instructionSet}, ${threads} threads`).toEqual(committed);
          const runs = instructionSet === "scalar" ? 2 : threads === 2 ? 12 : 3;
          await fc.assert(
            fc.asyncProperty(composition(64, options.adapter === undefined ? 0 : 3), (c) =>
              expectSameBits(model, ids, plain, c),
            ),
            { numRuns: runs },
          );
          model.dispose();
        }
      }
      // Token rows are the same with and without an adapter: one hash for both.
      expectCommitted(
        `logits of ${name.replace(/ with .*/, "")}`,
        sha256Of([new Int32Array(Uint8Array.from(Buffer.from((committed ?? []).join(""), "hex")).buffer)]),
      );
    },
  );

  it.each(models)("$name: texts drawn", async ({ name, path, kind, options, change }) => {
    const texts: Int32Array[] = [];
    for (const instructionSet of instructionSets) {
      const backend = createNativeBackend({ threads: 2, instructionSet });
      const model = await loadFixture(backend, path, kind, options, change);
      const drawn: number[] = [];
      for (const settings of [
        {},
        { temperature: 1, seed: 7 },
        { temperature: 0.7, topP: 0.9, seed: 2 ** 40 },
        { temperature: 1.3, topK: 40, minP: 0.02, repetitionPenalty: 1.2, presencePenalty: 0.3, frequencyPenalty: 0.1 },
      ]) {
        const sampler = model.createSampler({ ...neutralSettings, ...settings });
        sampler.prompt(Int32Array.from(ids));
        const cache = model.createCache(6);
        const pages = [0, 1, 2, 3, 4, 5];
        await model.forward(chain(ids.slice(0, -1), 0, pages), cache);
        let next = ids.at(-1) as number;
        for (let length = ids.length - 1; length < ids.length + 30; length++) {
          const draws = [{ row: 0, sampler, position: length + 1, unverified: [] }];
          const result = await model.forward(chain([next], length, pages), cache, { draws });
          next = result.drawn[0]?.token ?? -1;
          sampler.accept(next);
          drawn.push(next);
        }
      }
      texts.push(Int32Array.from(drawn));
      model.dispose();
    }
    for (const text of texts) expect(text).toEqual(texts[0]);
    expectCommitted(`text of ${name.replace(/ with .*/, "")}`, sha256Of([texts[0] as Int32Array]));
  });
});

describe("elementary functions of the kernels", () => {
  it("have the same bits on every instruction set and are right", async () => {
    const binding = nativeTestBinding();
    const x = Float32Array.from({ length: 16 * 4096 }, (_, i) => -87 + (i * 175) / (16 * 4096));
    const cases = [
      [0, x, Math.exp],
      [1, x.map((v) => Math.exp(v)), Math.log],
      [2, x, (v: number) => v / (1 + Math.exp(-v))],
    ] as const;
    for (const [which, inputs, exact] of cases) {
      const results = instructionSets.map((isa) => binding.math(isa, which, inputs));
      for (const result of results) expect(sha256Of([result])).toBe(sha256Of([results[0] as Float32Array]));
      const wrong = [...(results[0] as Float32Array)].filter((value, i) => {
        const expected = Math.fround(exact(inputs[i] as number));
        // Beyond the range of normal numbers the kernels return 0 and infinity.
        if (Math.abs(expected) < 2e-38 || Math.abs(expected) > 3e38) return false;
        return !(Math.abs(value - expected) <= 4e-7 * Math.max(Math.abs(expected), which === 1 ? 1 : 0));
      });
      expect(wrong).toEqual([]);
    }
  });
});
