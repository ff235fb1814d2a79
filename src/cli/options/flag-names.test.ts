import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { afterAll, describe, expect, it } from "vitest";
import { IdlmError, key, phrase } from "../../errors.ts";
import { collect } from "../terminal/collect-io.ts";
import { flagNames } from "./flag-names.ts";

const model = fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idlm-flags-"));
afterAll(() => rmSync(folder, { recursive: true }));

const input = join(folder, "in.jsonl");
writeFileSync(input, "");
const schema = join(folder, "schema.json");
writeFileSync(schema, '{"properties": {"a": {"type": "strnig"}}}');
const grammar = join(folder, "grammar.gbnf");
writeFileSync(grammar, "root ::= (");
const other = join(folder, "other.txt");
writeFileSync(other, "not a batch's output\n");

describe("names of keys in errors", () => {
  it.each([
    [["batch", model, "--in", input, "--out", other], "--out FILE"],
    [["run", model, "a", "--context", "100000"], "--context: 100000"],
    [["run", model, "a", "--stride", "3", "--propose", "mask"], "--propose: mask"],
    [["run", model, "a", "--propose", "draft"], "--draft-model MODEL"],
    [["run", model, "", "--raw"], "--raw"],
    [
      ["run", model, "a", "--json-schema", schema],
      'error: --json-schema FILE: properties.a.type: expected one of null, boolean, integer, number, string, array, object, or a list of them, found "strnig".',
    ],
    [["run", model, "a", "--grammar", grammar], "error: --grammar FILE: the grammar is wrong at line 1"],
  ])("of %j are flags: %s", async (argv, flag) => {
    const { status, stderr } = await collect(argv);
    expect(status).not.toBe(0);
    expect(stderr).toContain(flag);
  });

  it("are the library's if a command has no flag", () => {
    const problem = phrase`${key("threads")}: ${phrase`see ${key("output")} and ${key("other")}`}`;
    const error = new IdlmError("usage", { problem, hint: "" });
    const command = new Command().option("--threads <n>").option("--out <file>");
    expect(error.message).toBe("threads: see output and other.");
    expect(error.messageWith(flagNames(command))).toBe("--threads: see --out FILE and other.");
  });
});
