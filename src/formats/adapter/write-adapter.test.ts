import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readAdapter } from "./adapter.ts";
import { writeAdapter } from "./write-adapter.ts";

const fixture = join(import.meta.dirname, "../../../test/fixtures/idlm/llama-tiny-entry1");
const folder = mkdtempSync(join(tmpdir(), "idlm-write-adapter-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Largest difference, relative to the largest magnitude. */
function difference(a: Float32Array, b: Float32Array): number {
  expect(a).toHaveLength(b.length);
  const most = (values: Float32Array) => values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return most(a.map((value, i) => value - (b[i] as number))) / most(a);
}

describe("writeAdapter", () => {
  it("writes a folder that reads as the same adapter, in bf16 and in int8", () => {
    const adapter = readAdapter(fixture);
    for (const [store, tolerance] of [
      ["bf16", 2 ** -8],
      ["int8", 1 / 127],
    ] as const) {
      const path = join(folder, store);
      writeAdapter(path, adapter, store, { steps: 7 });
      const { peft, idlm } = readAdapter(path);
      const { samplerHead, ...rest } = idlm ?? expect.fail();
      expect({ ...rest, samplerHead }).toEqual({ ...adapter.idlm, samplerHead, training: { steps: 7 } });
      for (const part of ["w1", "w2"] as const) {
        const own = adapter.idlm?.samplerHead?.[part] ?? expect.fail();
        expect(difference(own, samplerHead?.[part] ?? expect.fail())).toBeLessThanOrEqual(tolerance);
      }
      expect(peft?.config).toEqual(adapter.peft?.config);
      for (const [name, { a, b, scale }] of adapter.peft?.modules ?? []) {
        const module = peft?.modules.get(name) ?? expect.fail();
        expect(module.scale).toBe(scale);
        expect(difference(a, module.a)).toBeLessThanOrEqual(tolerance);
        expect(difference(b, module.b)).toBeLessThanOrEqual(tolerance);
      }
    }
  });

  it("stores the same bytes again, and leaves nothing else", () => {
    const adapter = readAdapter(fixture);
    const [one, two] = [join(folder, "one"), join(folder, "two")];
    writeAdapter(one, adapter, "bf16");
    writeAdapter(two, readAdapter(one), "bf16");
    const names = ["adapter_config.json", "adapter_model.safetensors", "idlm.safetensors", "idlm_config.json"];
    expect(readdirSync(one).sort()).toEqual(names);
    for (const name of names) expect(readFileSync(join(two, name))).toEqual(readFileSync(join(one, name)));
  });

  it("is refused with an objective that is not gated", () => {
    const path = join(folder, "full");
    writeAdapter(path, readAdapter(fixture), "bf16");
    const config = join(path, "idlm_config.json");
    writeFileSync(config, readFileSync(config, "utf8").replace('"gated"', '"full"'));
    expect(() => readAdapter(path)).toThrow(/objective: expected "gated"/);
  });
});
