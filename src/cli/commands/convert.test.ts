import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeModelFolder, tinyModel } from "../../../test/support/model-folder.ts";
import { openModel } from "../../model/open/open-model.ts";
import { collect } from "../terminal/collect-io.ts";

const root = mkdtempSync(join(tmpdir(), "idlm-convert-command-"));
afterAll(() => rmSync(root, { recursive: true }));
const folder = join(root, "folder");
makeModelFolder(folder);
const adapter = join(import.meta.dirname, "../../../test/fixtures/idlm/llama-tiny-entry1");

describe("idlm convert", () => {
  it.each([
    [[], "Q8_0"],
    [["--type", "bf16"], "BF16"],
  ])("writes a model as a GGUF file, with %j", async (options, type) => {
    const out = join(root, `${type}.gguf`);
    const result = await collect(["convert", folder, "--out", out, ...options]);
    expect(result).toMatchObject({ status: 0, stdout: `${out}\n`, stderr: "" });
    const model = openModel(out, "gguf");
    expect(model.weights.get("model.layers.0.mlp.up_proj.weight")?.tensor.type).toBe(type);
    model.close();
    const run = await collect(["run", out, "the", "--raw", "--max-tokens", "3", "--temperature", "0"]);
    expect(run.status).toBe(0);
  });

  it("writes an adapter as a folder", async () => {
    const out = join(root, "small");
    expect(await collect(["convert", adapter, "--out", out])).toMatchObject({ status: 0, stdout: `${out}\n` });
    expect(readdirSync(out)).toContain("adapter_config.json");
  });

  it.each([
    [folder, "made", [], "is a model, and"],
    [folder, "made.gguf", ["--store", "int8"], "--store is for an adapter, and --out is"],
    [adapter, "made", ["--type", "f16"], "--type is for a model, and --out is"],
    [tinyModel, "made.gguf", [], "is a GGUF file already"],
    [adapter, "made.gguf", [], "config.json"],
    [tinyModel, "made", [], "is a file, and an adapter is a folder"],
  ])("refuses %s to %s with %j", async (from, name, options, message) => {
    const out = join(root, name);
    const { status, stderr } = await collect(["convert", from, "--out", out, ...options]);
    expect(stderr).toContain(message);
    expect(status).not.toBe(0);
    expect(existsSync(out)).toBe(false);
  });
});
