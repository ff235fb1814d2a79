import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeFirstLayers } from "./first-layers.ts";
import { openGguf } from "./gguf.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-first-layers-"));
afterAll(() => rmSync(folder, { recursive: true }));
const model = join(import.meta.dirname, "../../../test/fixtures/gguf/tiny256-Q4_1.gguf");

describe("writeFirstLayers", () => {
  it("keeps everything but the other layers", () => {
    const to = join(folder, "one.gguf");
    writeFirstLayers(model, to, 1);
    const [whole, first] = [openGguf(model), openGguf(to)];
    const names = [...whole.tensors.keys()].filter((name) => !/^blk\.[1-9]/.test(name));
    expect([...first.tensors.keys()]).toEqual(names);
    expect(names.length).toBeLessThan(whole.tensors.size);
    for (const name of names) {
      const [a, b] = [whole.tensors.get(name), first.tensors.get(name)];
      expect(b?.type).toBe(a?.type);
      expect(b?.shape).toEqual(a?.shape);
      expect(Buffer.compare(b?.bytes as Uint8Array, a?.bytes as Uint8Array)).toBe(0);
    }
    for (const [key, value] of whole.metadata) {
      expect(first.metadata.get(key)).toEqual(key === "llama.block_count" ? 1 : value);
    }
    whole.close();
    first.close();
  });

  it("rejects a number of layers that the model does not have", () => {
    for (const nLayers of [0, 1.5, 1000]) {
      expect(() => writeFirstLayers(model, join(folder, "none.gguf"), nLayers)).toThrow(/cannot keep .* of .* layers/);
    }
  });
});
