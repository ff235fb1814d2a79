import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { collect } from "./collect-io.ts";
import { type GenerationOptions, notesOf, warningsOf } from "./notices.ts";

const model = fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idlm-notices-"));
afterAll(() => rmSync(folder, { recursive: true }));

const optionsOf = (options: Partial<GenerationOptions>): GenerationOptions => ({
  ...{ propose: "auto", verify: "exact", seed: 0, temperature: 0 },
  ...options,
});

describe("warningsOf", () => {
  it.each<[Partial<GenerationOptions>, string[]]>([
    [{ logprobs: 2 }, ["--logprobs has no effect without --json"]],
    [{ propose: "lookup", predict: "f" }, ["--predict has no effect with --propose lookup"]],
    [{ predict: "empty" }, ["--predict has no effect with an empty file"]],
    [{ propose: "mask", draftModel: "m" }, ["--draft-model has no effect with --propose mask"]],
    [{ propose: "none", stride: 4 }, ["--stride has no effect with --propose none"]],
    [{ propose: "none", shape: "quadratic" }, ["--shape has no effect with --propose none"]],
    [{ propose: "none", verify: "relaxed", tau: 0.3 }, ["--tau has no effect with --propose none"]],
    [{ propose: "none", predict: "f" }, ["--predict has no effect with --propose none"]],
    [{ propose: "none", draftModel: "m" }, ["--draft-model has no effect with --propose none"]],
    [{ stride: 1, shape: "tree" }, ["--shape has no effect with --stride 1"]],
    [
      { propose: "lookup", shape: "quadratic" },
      ["--shape quadratic has no effect with --propose lookup, which has no MASK rows: rounds are chains"],
    ],
    [
      { propose: "none", stride: 2, shape: "tree" },
      ["--stride has no effect with --propose none", "--shape has no effect with --propose none"],
    ],
  ])("%j", (options, expected) => {
    const predicted = options.predict === "empty" ? "" : options.predict && "a text";
    expect(warningsOf(optionsOf(options), predicted)).toEqual(expected.map((line) => `warning: ${line}\n`));
  });

  it.each<Partial<GenerationOptions>>([
    {},
    { logprobs: 2, json: true },
    { predict: "f" },
    { propose: "predicted", predict: "f", stride: 3, shape: "chain" },
    { propose: "draft", draftModel: "m", shape: "tree" },
    { draftModel: "m", shape: "quadratic" },
    { propose: "mask", shape: "quadratic", stride: 2 },
    { propose: "lookup", verify: "relaxed", tau: 0.3 },
    { propose: "none" },
    { stride: 1 },
  ])("has none of %j", (options) => {
    expect(warningsOf(optionsOf(options), "a text")).toEqual([]);
  });
});

describe("notesOf", () => {
  it("says that relaxed text is not lossless, where no JSON does", () => {
    const note = (tau: number) => [
      `note: relaxed verification (tau ${tau}): not lossless, the text may differ from plain decoding's\n`,
    ];
    expect(notesOf(optionsOf({ verify: "relaxed" }))).toEqual(note(0.5));
    expect(notesOf(optionsOf({ verify: "relaxed", tau: 0.9 }))).toEqual(note(0.9));
    expect(notesOf(optionsOf({ verify: "relaxed", json: true }))).toEqual([]);
    expect(notesOf(optionsOf({ verify: "rejection" }))).toEqual([]);
  });
});

describe("idlm run and chat", () => {
  const run = ["run", model, "Hello", "--max-tokens", "4"];
  const relaxed = ["--verify", "relaxed", "--tau", "0.7"];
  const note = "note: relaxed verification (tau 0.7): not lossless, the text may differ from plain decoding's\n";

  it("print one note that relaxed verification is not lossless, and none with --quiet", async () => {
    expect(await collect([...run, ...relaxed])).toMatchObject({ status: 0, stderr: note });
    expect(await collect([...run, ...relaxed, "--json"])).toMatchObject({ status: 0, stderr: "" });
    expect(await collect([...run, ...relaxed, "--quiet"])).toMatchObject({ status: 0, stderr: "" });
    const chat = ["chat", model, "--max-tokens", "4", ...relaxed];
    expect(await collect(chat, { stdin: "hi\nhi\n" })).toMatchObject({ status: 0, stderr: note });
  });

  it("warn of options without effect, and generate the same output as without them", async () => {
    const empty = join(folder, "empty.txt");
    writeFileSync(empty, "");
    const { stdout } = await collect(run);
    const warned = await collect([...run, "--logprobs", "2", "--predict", empty]);
    expect(warned).toEqual({
      ...{ status: 0, stdout, killed: false },
      stderr: "warning: --logprobs has no effect without --json\nwarning: --predict has no effect with an empty file\n",
    });
    const json = await collect([...run, "--propose", "none", "--shape", "tree", "--json"]);
    expect(json).toMatchObject({ status: 0, stderr: "warning: --shape has no effect with --propose none\n" });
    const chat = ["chat", model, "--max-tokens", "4", "--propose", "none", "--stride", "2"];
    const { stderr } = await collect(chat, { stdin: "hi\nhi\n" });
    expect(stderr).toBe("warning: --stride has no effect with --propose none\n");
  });
});
