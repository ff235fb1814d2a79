import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { openSafetensors } from "../../formats/safetensors/safetensors.ts";
import { toFloat32 } from "../../formats/tensor/dequantise.ts";
import { collect } from "../terminal/collect-io.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idlm-forward-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Tensors of a file by name, as float32. */
function tensorsOf(path: string): Map<string, { shape: readonly number[]; values: Float32Array }> {
  const file = openSafetensors(path);
  try {
    return new Map(
      [...file.tensors].map(([name, tensor]) => [name, { shape: tensor.shape, values: toFloat32(tensor) }]),
    );
  } finally {
    file.close();
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? Number.NaN))), 0);
}

function writeForest(forest: unknown): string {
  const path = join(folder, "forest.json");
  writeFileSync(path, JSON.stringify(forest));
  return path;
}

const out = join(folder, "out.safetensors");
const backends = ["native", "reference"] as const;

describe.each(backends)("idlm forward --backend %s", (backend) => {
  describe.each(["llama-tiny", "qwen3-tiny"])("%s", (name) => {
    const gated = join(fixtures, "gated", name);
    const { model, adapter, seed: _seed, ...forests } = JSON.parse(readFileSync(join(gated, "forests.json"), "utf8"));
    const golden = tensorsOf(join(gated, "forests.safetensors"));

    it.each(Object.keys(forests))("forest %s agrees with the golden logits", async (forest) => {
      const result = await collect([
        ...[
          "forward",
          join(fixtures, "models", model),
          "--forest",
          writeForest(forests[forest]),
          "--out",
          out,
          "--backend",
          backend,
        ],
        ...[
          "--adapter",
          join(fixtures, "peft", adapter),
          "--mask-embedding",
          join(gated, "mask_embedding.safetensors"),
        ],
      ]);
      expect(result).toMatchObject({ status: 0, stderr: "" });
      const logits = tensorsOf(out).get("logits");
      const expected = golden.get(`${forest}.logits`);
      expect(logits?.shape).toEqual(expected?.shape);
      // Tolerance from the fixtures' README: 8 × the noise of their float32 run.
      expect(
        largestDifference(logits?.values ?? new Float32Array(), expected?.values ?? new Float32Array()),
      ).toBeLessThan(8 * forests[forest].noise);
    });
  });

  it.each(["llama-tiny-entry0", "llama-tiny-entry1"])("%s gives every tensor of the golden file", async (name) => {
    const adapter = join(fixtures, "idlm", name);
    const { model, forest, noise } = JSON.parse(readFileSync(join(adapter, "golden.json"), "utf8"));
    const argv = [
      "forward",
      join(fixtures, "models", model),
      "--forest",
      writeForest(forest),
      "--out",
      out,
      "--backend",
      backend,
    ];
    const result = await collect([...argv, "--adapter", adapter, "--json"]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    const golden = tensorsOf(join(adapter, "golden.safetensors"));
    const written = tensorsOf(out);
    expect(new Set(written.keys())).toEqual(new Set(Object.keys(noise)));
    expect(JSON.parse(result.stdout).tensors).toEqual(
      Object.fromEntries([...written].map(([key, { shape }]) => [key, shape])),
    );
    for (const [key, { shape, values }] of written) {
      const expected = golden.get(key);
      expect(shape).toEqual(expected?.shape);
      expect(largestDifference(values, expected?.values ?? new Float32Array()), key).toBeLessThan(8 * noise[key]);
    }
  });
});

describe("idlm forward rejects", () => {
  const model = join(fixtures, "models", "llama-tiny");
  const good = { tokens: [5, 6], positions: [0, 1], parents: [-1, 0], gate: [0, 0] };
  const unwritten = join(folder, "unwritten.safetensors");
  const refused = async (argv: readonly string[], status: number, message: string) => {
    const result = await collect(["forward", ...argv, "--out", unwritten]);
    expect(result.stderr).toContain(message);
    expect(result).toMatchObject({ status, stdout: "" });
    expect(result.stderr).not.toContain("    at ");
    expect(existsSync(unwritten)).toBe(false);
  };

  it("a missing forest", () => refused([model, "--forest", join(folder, "none.json")], 3, "none.json: no such file"));
  it("a missing model", () =>
    refused([join(folder, "none.gguf"), "--forest", writeForest(good)], 3, "none.gguf: no such file"));
  it("a damaged model", () =>
    refused([join(fixtures, "hostile", "gguf-empty.gguf"), "--forest", writeForest(good)], 3, "gguf-empty.gguf"));
  it("ids outside of the vocabulary", () =>
    refused([model, "--forest", writeForest({ ...good, tokens: [5, 320] })], 3, "tokens[1]: expected an id below"));
  it("MASK rows without MASK embeddings", () =>
    refused([model, "--forest", writeForest({ ...good, tokens: [5, -1] })], 2, "the forest has MASK rows"));
  it("an adapter for another model", () =>
    refused(
      [model, "--forest", writeForest(good), "--adapter", join(fixtures, "peft", "qwen3-tiny-lora")],
      4,
      "does not fit",
    ));
  it("no forest", () => refused([model], 2, "--forest"));
  it("an unknown backend", () =>
    refused([model, "--forest", writeForest(good), "--backend", "cuda"], 2, "native, reference"));
  it("an unknown option, with a suggestion", () =>
    refused([model, "--forest", "f.json", "--thread", "2"], 2, "Did you mean --threads?"));

  it("a missing output folder, and leaves nothing behind", async () => {
    const before = readdirSync(folder);
    const path = join(folder, "none", "out.safetensors");
    const result = await collect(["forward", model, "--forest", writeForest(good), "--out", path]);
    expect(result).toMatchObject({ status: 3, stdout: "" });
    expect(result.stderr).toContain(path);
    expect(readdirSync(folder).filter((name) => name !== "forest.json")).toEqual(
      before.filter((name) => name !== "forest.json"),
    );
  });
});
