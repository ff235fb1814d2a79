import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { IdlmError } from "../errors.ts";
import { openGguf } from "./gguf.ts";
import { readPeftAdapter } from "./peft.ts";
import { openSafetensors } from "./safetensors.ts";
import type { TensorFile } from "./tensor.ts";

const fixtures = join(import.meta.dirname, "../../test/fixtures");
const folder = mkdtempSync(join(tmpdir(), "idlm-mutated-"));
afterAll(() => rmSync(folder, { recursive: true }));

type Change =
  | { readonly kind: "byte"; readonly at: number; readonly value: number }
  | { readonly kind: "number"; readonly at: number; readonly value: bigint }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "copy"; readonly from: number; readonly to: number; readonly length: number };

/** Values at which sizes and sums go wrong. */
const oddNumber = fc.oneof(
  fc.constantFrom(
    0n,
    1n,
    2n ** 31n - 1n,
    2n ** 31n,
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 53n,
    2n ** 61n,
    2n ** 63n,
    2n ** 64n - 1n,
  ),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);

function changes(headerBytes: number): fc.Arbitrary<Change[]> {
  const at = fc.nat({ max: headerBytes - 1 });
  const change = fc.oneof<fc.Arbitrary<Change>[]>(
    fc.record({ kind: fc.constant("byte" as const), at, value: fc.nat({ max: 255 }) }),
    fc.record({ kind: fc.constant("number" as const), at, value: oddNumber }),
    fc.record({ kind: fc.constant("cut" as const), at }),
    fc.record({ kind: fc.constant("copy" as const), from: at, to: at, length: fc.integer({ min: 1, max: 64 }) }),
  );
  return fc.array(change, { minLength: 1, maxLength: 4 });
}

function apply(original: Buffer, list: readonly Change[]): Buffer {
  let bytes = Buffer.from(original);
  for (const change of list) {
    if (change.kind === "byte" && change.at < bytes.length) bytes[change.at] = change.value;
    else if (change.kind === "number" && change.at + 8 <= bytes.length) bytes.writeBigUInt64LE(change.value, change.at);
    else if (change.kind === "cut") bytes = bytes.subarray(0, change.at);
    else if (change.kind === "copy" && change.from < bytes.length && change.to < bytes.length)
      bytes.copy(bytes, change.to, change.from, change.from + change.length);
  }
  return bytes;
}

/** Opens a changed file: either an error of the catalogue, or a file all of whose tensors lie inside of it. */
function expectHarmless(path: string, bytes: Buffer, open: (path: string) => TensorFile): "refused" | "read" {
  writeFileSync(path, bytes);
  let file: TensorFile;
  try {
    file = open(path);
  } catch (error) {
    expect(error).toBeInstanceOf(IdlmError);
    expect((error as IdlmError).message.length).toBeLessThan(1000);
    return "refused";
  }
  let sum = 0;
  for (const tensor of file.tensors.values()) sum += tensor.bytes.length;
  expect(sum).toBeLessThanOrEqual(bytes.length);
  file.close();
  return "read";
}

describe("files with a few bytes changed", () => {
  it.each([
    // Up to where the data begins, and a little beyond.
    ["GGUF", "hostile/gguf-valid.gguf", 5200, openGguf],
    ["safetensors", "peft/llama-tiny-lora/adapter_model.safetensors", 4000, openSafetensors],
  ] as const)("of %s are refused, or hold no more than their bytes", (format, name, headerBytes, open) => {
    const original = readFileSync(join(fixtures, name));
    const path = join(folder, `mutated.${format}`);
    const outcomes = { refused: 0, read: 0 };
    const before = process.memoryUsage().arrayBuffers;
    fc.assert(
      fc.property(changes(headerBytes), (list) => {
        outcomes[expectHarmless(path, apply(original, list), open)]++;
      }),
      { numRuns: 1500 },
    );
    // Both happen, or the changes are no test.
    expect(outcomes.refused).toBeGreaterThan(100);
    expect(outcomes.read).toBeGreaterThan(10);
    // Nothing of the sizes claimed was ever allocated: the readers' own windows and copies are what is left.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(512 * 1024 * 1024);
  });

  it("of an adapter's config are refused, or read as an adapter", () => {
    const original = readFileSync(join(fixtures, "peft/qwen3-tiny-patterns/adapter_config.json"));
    const weights = readFileSync(join(fixtures, "peft/qwen3-tiny-patterns/adapter_model.safetensors"));
    writeFileSync(join(folder, "adapter_model.safetensors"), weights);
    fc.assert(
      fc.property(changes(original.length), (list) => {
        writeFileSync(join(folder, "adapter_config.json"), apply(original, list));
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
