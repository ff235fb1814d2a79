import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Backend } from "../src/compute/backend.ts";
import { createNativeBackend, supportedInstructionSets } from "../src/compute/native/index.ts";
import { createReferenceBackend } from "../src/compute/reference/index.ts";
import { toFloat32 } from "../src/formats/tensor/dequantise.ts";
import { openSafetensors } from "../src/formats/safetensors/safetensors.ts";
import { compileProgram } from "../src/model/compile.ts";
import { openModel } from "../src/model/open/open-model.ts";
import { fixtures, forestOf, runForest } from "./support/backend-contract.ts";

interface GgufGolden {
  readonly file: string;
  readonly types: readonly string[];
  readonly logits: { readonly file: string; readonly llamacpp_nmse: number };
}

/** llama.cpp's own error at F32 is up to 2.5e-13: 8 times that noise, squared, since these are squared errors. */
const FLOAT_NMSE = 64 * 2.5e-13;
/**
 * Two correct ways to quantise activations differ on a small file: llama.cpp's own two, in one batch and with its
 * default settings, by up to 1.28 (tiny64-Q8_0). So one file may be that much worse; the mean over the files may not.
 */
const RATIO_OF_ONE_FILE = 1.28;
const floatTypes = new Set(["F32", "F16", "BF16"]);

// All types, if the whole set is next to the checkout; else the few files in the repository.
const whole = join(fixtures, "..", "..", "..", "shared", "fixtures", "gguf");
const folder = existsSync(whole) ? whole : join(fixtures, "gguf");
const files: GgufGolden[] = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8")).files;

/** Normalised mean square error of all logits against the float64 forward over the dequantised weights. */
async function error(backend: Backend, { file, logits }: GgufGolden, cacheType?: "f32"): Promise<number> {
  const goldens = openSafetensors(join(folder, logits.file));
  const ids = goldens.tensors.get("tokens");
  const stored = goldens.tensors.get("logits_float");
  if (ids === undefined || stored === undefined) throw new Error(`${logits.file}: the goldens are missing`);
  const view = new DataView(ids.bytes.buffer, ids.bytes.byteOffset, ids.bytes.byteLength);
  const tokens = Array.from({ length: ids.bytes.length / 8 }, (_, i) => Number(view.getBigInt64(8 * i, true)));
  const expected = toFloat32(stored);
  goldens.close();
  const opened = openModel(join(folder, file), "gguf");
  const program = compileProgram(opened);
  const model = await backend.load(cacheType === undefined ? program : { ...program, cacheType });
  opened.close();
  const result = await runForest(model, forestOf({ tokens }));
  const found = tokens.flatMap((_, row) => [...result.logits(row)]);
  model.dispose();
  expect(found.length).toBe(expected.length);
  let squares = 0;
  let norm = 0;
  found.forEach((value, i) => {
    squares += (value - (expected[i] as number)) ** 2;
    norm += (expected[i] as number) ** 2;
  });
  return squares / norm;
}

describe("GGUF models agree with a float64 forward over their dequantised weights", () => {
  const reference = createReferenceBackend();
  it.each(files.map((file) => [file.file, file] as const))("reference: %s", async (_, file) => {
    expect(await error(reference, file, "f32")).toBeLessThan(FLOAT_NMSE);
  });

  for (const instructionSet of supportedInstructionSets()) {
    const native = createNativeBackend({ threads: 2, instructionSet });
    const isFloat = ({ types }: GgufGolden) => types.every((type) => floatTypes.has(type));
    it.each(files.filter(isFloat).map((file) => [file.file, file] as const))(
      `native ${instructionSet}: %s`,
      async (_, file) => {
        expect(await error(native, file)).toBeLessThan(FLOAT_NMSE);
      },
    );

    it(`native ${instructionSet}: with 8-bit activations no worse than llama.cpp`, async () => {
      const quantised = files.filter((file) => !isFloat(file));
      let sum = 0;
      for (const file of quantised) {
        const ratio = (await error(native, file)) / file.logits.llamacpp_nmse;
        expect(ratio, file.file).toBeLessThan(RATIO_OF_ONE_FILE);
        sum += ratio;
      }
      expect(sum / quantised.length).toBeLessThanOrEqual(1);
    });
  }
});
