import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createNativeBackend, supportedInstructionSets } from "../src/compute/native/index.ts";
import { load } from "../src/engine/load/load.ts";
import { readAdapter } from "../src/formats/adapter/adapter.ts";
import { compileProgram } from "../src/model/compile.ts";
import { openModel } from "../src/model/open/open-model.ts";
import { golden } from "./support/backend-contract.ts";
import { expectCommitted, sha256Of } from "./support/numerics.ts";
import { realModelPath } from "./support/real-model.ts";
import { composition, expectSameBits, plainHashes } from "./support/same-bits.ts";

const path = realModelPath();
const suite = path === undefined ? describe.skip : describe;
const adapterFolder = join(dirname(fileURLToPath(import.meta.url)), "..", "models", "smollm2-135m-instruct");
const ids: number[] = golden("smollm2", "goldens.json").text.ids.slice(0, 90);

suite("same bits on SmolLM2", () => {
  it("any composition of rows, instruction set and thread count, with and without the adapter", async () => {
    let committed: readonly string[] | undefined;
    for (const instructionSet of supportedInstructionSets()) {
      for (const threads of [1, 2, 3, 4]) {
        // The plain C++ kernels are slow: one run is enough.
        const isSlow = instructionSet === "scalar";
        if (isSlow && threads !== 2) continue;
        const backend = createNativeBackend({ threads, instructionSet });
        const opened = openModel(path as string, "gguf");
        const hasAdapter = threads % 2 === 0;
        const program = compileProgram(opened, hasAdapter ? { adapter: readAdapter(adapterFolder) } : {});
        const model = await backend.load(program);
        opened.close();
        const text = isSlow ? ids.slice(0, 8) : ids;
        const plain = await plainHashes(model, text);
        committed ??= plain;
        expect(plain, `${instructionSet}, ${threads} threads`).toEqual(committed.slice(0, text.length));
        await fc.assert(
          fc.asyncProperty(composition(64, hasAdapter ? 3 : 0), (c) => expectSameBits(model, text, plain, c)),
          { numRuns: isSlow ? 1 : threads > 2 ? 5 : 40 },
        );
        model.dispose();
      }
    }
    const bytes = Uint8Array.from(Buffer.from((committed ?? []).join(""), "hex"));
    expectCommitted("logits of SmolLM2-135M-Instruct Q4_1", sha256Of([new Int32Array(bytes.buffer)]));
  });

  it("outputs have the committed hashes, with and without proposals", async () => {
    const model = await load(path as string, { adapter: adapterFolder, threads: 2, context: 512 });
    const messages = [{ role: "user", content: "Give me three tips for staying healthy." }] as const;
    const settings = [
      {},
      { temperature: 0.7, seed: 11 },
      { temperature: 1, topP: 0.9, seed: 12, repetitionPenalty: 1.1, presencePenalty: 0.2, frequencyPenalty: 0.1 },
    ];
    for (const [i, setting] of settings.entries()) {
      const texts: string[] = [];
      for (const how of [
        { propose: "none" },
        { propose: "mask" },
        { propose: "mask", stride: 4 },
        { propose: "mask", stride: 3, shape: "quadratic" },
        { propose: "lookup", stride: 8 },
      ] as const) {
        texts.push((await model.generate({ messages, maxTokens: 64, ...setting, ...how }).result).sha256);
      }
      for (const text of texts) expect(text).toBe(texts[0]);
      expectCommitted(`text of SmolLM2-135M-Instruct Q4_1, settings ${i}`, texts[0] as string);
    }
    await model.dispose();
  });
});
