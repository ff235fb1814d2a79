import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readAdapter } from "./adapter.ts";
import { convertAdapter } from "./convert-adapter.ts";

const root = join(import.meta.dirname, "../../..");
const folder = mkdtempSync(join(tmpdir(), "idlm-quantise-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** RMS of the difference, relative to the RMS of the values. */
function relativeError(values: Float32Array, others: Float32Array): number {
  let error = 0;
  let sum = 0;
  values.forEach((value, i) => {
    error += (value - (others[i] as number)) ** 2;
    sum += value ** 2;
  });
  return Math.sqrt(error / sum);
}

describe("convertAdapter", () => {
  it("writes a folder that reads as the same adapter, within 8-bit rounding, and converts it back", () => {
    const from = join(root, "test/fixtures/idlm/llama-tiny-entry1");
    convertAdapter(from, folder, "int8");
    const before = readAdapter(from);
    const after = readAdapter(folder);
    expect(after.peft?.config).toEqual(before.peft?.config);
    expect([...(after.peft?.modules.keys() ?? [])]).toEqual([...(before.peft?.modules.keys() ?? [])]);
    expect(after.idlm?.maskEmbedding).toEqual(before.idlm?.maskEmbedding);
    expect(after.idlm?.draftVocabulary).toEqual(before.idlm?.draftVocabulary);
    const w1 = before.idlm?.samplerHead?.w1 ?? expect.fail();
    const error = relativeError(w1, after.idlm?.samplerHead?.w1 ?? expect.fail());
    expect(error).toBeGreaterThan(0);
    // Uniform rounding errors have an RMS of step / √12. A step is 1/127 of the largest of 32 values, which for normally
    // distributed values is rarely above four times their RMS.
    expect(error).toBeLessThan(4 / 127 / Math.sqrt(12));
    const back = join(folder, "bf16");
    convertAdapter(folder, back, "bf16");
    const w1Back = readAdapter(back).idlm?.samplerHead?.w1 ?? expect.fail();
    // Half a unit of the last of 8 binary digits.
    w1Back.forEach((value, i) => {
      const stored = after.idlm?.samplerHead?.w1[i] ?? 0;
      expect(Math.abs(value - stored)).toBeLessThanOrEqual(Math.abs(stored) * 2 ** -8);
    });
  });
});

describe("convertAdapter of an adapter without all modules that its names stand for", () => {
  it("keeps which modules are excluded, and what layers are called", () => {
    const from = join(folder, "excluded");
    cpSync(join(root, "test/fixtures/reports/20-peft-modules/extra-names"), from, { recursive: true });
    const path = join(from, "adapter_config.json");
    const config = JSON.parse(readFileSync(path, "utf8"));
    const choice = { exclude_modules: ["k_proj"], layers_pattern: ["layers"], layers_to_transform: [0, 1] };
    writeFileSync(path, JSON.stringify({ ...config, target_modules: ["q_proj", "k_proj", "v_proj"], ...choice }));
    const to = join(folder, "excluded-int8");
    convertAdapter(from, to, "int8");
    expect(readAdapter(to).peft?.config).toEqual(readAdapter(from).peft?.config);
  });
});

describe("the bundled adapter", () => {
  it("is complete and names its base model", () => {
    const { peft, idlm } = readAdapter(join(root, "models/smollm2-135m-instruct"));
    // All linear layers, from the entry layer to the last one.
    expect(peft?.modules.size).toBe((30 - (idlm?.entryLayer ?? 0)) * 7);
    expect(peft?.modules.get("model.layers.29.mlp.down_proj")).toMatchObject({ inSize: 1536, outSize: 576 });
    expect(idlm?.maskEmbedding?.hiddenSize).toBe(576);
    expect(idlm?.maskEmbedding?.nDepths).toBeGreaterThanOrEqual(3);
    expect(idlm?.draftVocabulary?.length).toBeGreaterThan(6000);
    expect(idlm?.samplerHead?.w1).toHaveLength(576 * 1152);
    expect(idlm?.baseSha256).toBe("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
  });
});
