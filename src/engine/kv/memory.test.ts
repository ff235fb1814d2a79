import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileProgram } from "../../model/compile.ts";
import { openModel } from "../../model/open/open-model.ts";
import { availableMemory, fittingContext, kvBytesPerPosition, programBytes } from "./memory.ts";

const opened = openModel(join(import.meta.dirname, "../../../test/fixtures/models/llama-tiny"), "huggingface");
const program = compileProgram(opened);
opened.close();

describe("fittingContext", () => {
  // 2 layers, K and V, 2 heads of 16, float32.
  it("counts K and V of every layer", () => {
    expect(kvBytesPerPosition(program)).toBe(2 * 2 * 2 * 16 * 4);
  });

  it("uses the context of the model, or less if memory does not suffice", () => {
    const fixed = programBytes(program, "native");
    expect(fittingContext(program, "native", undefined, 4096, 1e12)).toBe(4096);
    const max = fittingContext(program, "native", undefined, 4096, fixed + 1000 * kvBytesPerPosition(program));
    expect(max).toBeGreaterThan(512);
    expect(max).toBeLessThan(1000);
    expect(fittingContext(program, "native", 700, 4096, fixed + 1000 * kvBytesPerPosition(program))).toBe(700);
  });

  it("says what to lower", () => {
    const available = programBytes(program, "native") + 1000 * kvBytesPerPosition(program);
    expect(() => fittingContext(program, "native", 4000, 4096, available)).toThrow(
      /MB available. Lower the context \(context \d+ fits\)/,
    );
    expect(() => fittingContext(program, "native", undefined, 4096, 1e5)).toThrow(/Lower the model's size/);
  });

  it("counts float32 weights for the reference", () => {
    expect(programBytes(program, "reference")).toBeGreaterThan(4 * 320 * 64);
    expect(availableMemory()).toBeGreaterThan(0);
  });
});
