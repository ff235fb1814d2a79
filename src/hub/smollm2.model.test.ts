import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { realModelPath } from "../../test/support/real-model.ts";
import { sha256File } from "../formats/files/sha256.ts";
import { openGguf } from "../formats/gguf/gguf.ts";
import { toFloat32 } from "../formats/tensor/dequantise.ts";
import { catalogue } from "./catalogue.ts";

interface GoldenTensor {
  readonly type: string;
  readonly shape: readonly number[];
  readonly sha256_f32: string;
}

const path = realModelPath();
const goldenPath = join(import.meta.dirname, "../../test/fixtures/smollm2/tensors.json");

describe.skipIf(path === undefined)("SmolLM2-135M-Instruct (skipped unless pulled)", () => {
  it("is the file of the catalogue", async () => {
    const progress: number[] = [];
    expect(await sha256File(path ?? "", (bytesDone) => progress.push(bytesDone))).toBe(catalogue[0]?.file.sha256);
    expect(progress.at(-1)).toBe(catalogue[0]?.file.nBytes);
  });

  it("dequantises every tensor to ggml's bits", () => {
    const goldens = JSON.parse(readFileSync(goldenPath, "utf8")) as Readonly<Record<string, GoldenTensor>>;
    const gguf = openGguf(path ?? "");
    expect(new Set(gguf.tensors.keys())).toEqual(new Set(Object.keys(goldens)));
    for (const tensor of gguf.tensors.values()) {
      const sha256_f32 = createHash("sha256")
        .update(new Uint8Array(toFloat32(tensor).buffer))
        .digest("hex");
      expect({ type: tensor.type, shape: tensor.shape, sha256_f32 }, tensor.name).toEqual(goldens[tensor.name]);
    }
    gguf.close();
  });
});
