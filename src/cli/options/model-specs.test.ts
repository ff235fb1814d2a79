import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { modelSpecs } from "./model-specs.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-specs-"));
afterAll(() => rmSync(folder, { recursive: true }));
for (const name of ["a.gguf", "b-00001-of-00002.gguf", "b-00002-of-00002.gguf", "notes.txt"]) {
  writeFileSync(join(folder, name), "");
}
for (const name of ["hf", "other"]) mkdirSync(join(folder, name));
writeFileSync(join(folder, "hf", "config.json"), "{}");

const names = (...given: Parameters<typeof modelSpecs>) => modelSpecs(...given).map(({ name }) => name);

describe("modelSpecs", () => {
  it("names models like their arguments, files and folders without their path", () => {
    const file = join(folder, "a.gguf");
    expect(modelSpecs([file, "ORG/REPO:Q8_0"], {})).toEqual([
      { name: "a", aliases: [], source: file, adapter: undefined },
      { name: "ORG/REPO:Q8_0", aliases: [], source: "ORG/REPO:Q8_0", adapter: undefined },
    ]);
  });

  it("offers a model with an adapter without it, too, and further adapters under their names", () => {
    expect(modelSpecs(["smollm2-135m-instruct"], { adapter: ["tuned=some/folder"], alias: ["gpt-4o"] })).toEqual([
      { name: "smollm2-135m-instruct", aliases: ["gpt-4o"], source: "smollm2-135m-instruct", adapter: undefined },
      { name: "smollm2-135m-instruct:base", aliases: [], source: "smollm2-135m-instruct", adapter: false },
      { name: "tuned", aliases: [], source: "smollm2-135m-instruct", adapter: "some/folder" },
    ]);
    const file = join(folder, "a.gguf");
    expect(modelSpecs([file], { adapter: ["own"] })).toMatchObject([
      { name: "a", adapter: "own" },
      { name: "a:base", adapter: false },
    ]);
  });

  it("finds the models of a folder", () => {
    expect(names([], { modelsDir: folder })).toEqual(["a", "b-00001-of-00002", "hf"]);
  });

  it("refuses no model, and two of one name", () => {
    expect(() => modelSpecs([], {})).toThrow(/no model was given/);
    expect(() => modelSpecs(["m.gguf", "other/m.gguf"], {})).toThrow(/two models are named m/);
    expect(() => modelSpecs(["m.gguf"], { alias: ["m"] })).toThrow(/two models are named m/);
    expect(() => modelSpecs([], { modelsDir: join(folder, "none") })).toThrow(/no such file or folder/);
  });
});
