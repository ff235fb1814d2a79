import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { edits, mutateBytes } from "../../test/support/mutate.ts";
import { IdlmError } from "../errors.ts";
import { openGguf } from "./gguf/gguf.ts";
import { readPeftAdapter } from "./peft/peft.ts";
import { openSafetensors } from "./safetensors/safetensors.ts";
import type { TensorFile } from "./tensor/tensor.ts";

const fixtures = join(import.meta.dirname, "../../test/fixtures");
const folder = mkdtempSync(join(tmpdir(), "idlm-mutated-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Opens a mutated file: either it fails with an error of the catalogue, or all tensors lie inside the file. */
function expectHarmless(path: string, bytes: Buffer, open: (path: string) => TensorFile): "rejected" | "read" {
  writeFileSync(path, bytes);
  let file: TensorFile;
  try {
    file = open(path);
  } catch (error) {
    expect(error).toBeInstanceOf(IdlmError);
    expect((error as IdlmError).message.length).toBeLessThan(1000);
    return "rejected";
  }
  let sum = 0;
  for (const tensor of file.tensors.values()) sum += tensor.bytes.length;
  expect(sum).toBeLessThanOrEqual(bytes.length);
  file.close();
  return "read";
}

describe("files with a few mutated bytes", () => {
  it.each([
    // The header and a little of the data.
    ["GGUF", "hostile/gguf-valid.gguf", 5200, openGguf],
    ["safetensors", "peft/llama-tiny-lora/adapter_model.safetensors", 4000, openSafetensors],
  ] as const)("(%s) are rejected, or hold no more than their bytes", (format, name, headerBytes, open) => {
    const original = readFileSync(join(fixtures, name));
    const path = join(folder, `mutated.${format}`);
    const outcomes = { rejected: 0, read: 0 };
    const before = process.memoryUsage().arrayBuffers;
    fc.assert(
      fc.property(edits, (list) => {
        outcomes[expectHarmless(path, mutateBytes(original, list, headerBytes), open)]++;
      }),
      { numRuns: 1500 },
    );
    // Both outcomes occur, else the mutations test nothing.
    expect(outcomes.rejected).toBeGreaterThan(100);
    expect(outcomes.read).toBeGreaterThan(10);
    // Nothing is allocated in proportion to claimed sizes; only the readers' own windows and copies remain.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(512 * 1024 * 1024);
  });

  it("(adapter config) are rejected, or read as an adapter", () => {
    const original = readFileSync(join(fixtures, "peft/qwen3-tiny-patterns/adapter_config.json"));
    const weights = readFileSync(join(fixtures, "peft/qwen3-tiny-patterns/adapter_model.safetensors"));
    writeFileSync(join(folder, "adapter_model.safetensors"), weights);
    fc.assert(
      fc.property(edits, (list) => {
        writeFileSync(join(folder, "adapter_config.json"), mutateBytes(original, list));
        try {
          expect(readPeftAdapter(folder).modules.size).toBe(4);
        } catch (error) {
          expect(error).toBeInstanceOf(IdlmError);
        }
      }),
      { numRuns: 300 },
    );
  });
});
