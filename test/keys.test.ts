import { mkdtempSync, readFileSync, rmSync, writeFileSync, cpSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ggufKeys } from "../src/formats/keys/gguf-keys.ts";
import {
  configKeys,
  generationConfigKeys,
  tokenizerConfigKeys,
  tokenizerKeys,
} from "../src/formats/keys/huggingface-keys.ts";
import { checkKeys, type KeyRule, type KeyTable, unknownKeysWarning } from "../src/formats/keys/key-table.ts";
import { peftKeys } from "../src/formats/keys/peft-keys.ts";
import { load } from "../src/index.ts";

const tables = [configKeys, generationConfigKeys, tokenizerKeys, tokenizerConfigKeys, ggufKeys, peftKeys];
const page = join(import.meta.dirname, "..", "docs", "formats.md");
const fixtures = join(import.meta.dirname, "fixtures");
const temporary = mkdtempSync(join(tmpdir(), "idlm-keys-"));
afterAll(() => rmSync(temporary, { recursive: true }));

/** Keys of the same rule share a row. */
function rowsOf({ keys }: KeyTable): string[] {
  const groups = new Map<string, string[]>();
  for (const [key, rule] of Object.entries(keys)) {
    const text = `${useOf(rule)} | ${rule.note}`;
    groups.set(text, [...(groups.get(text) ?? []), `\`${key}\``]);
  }
  return [...groups].map(([text, names]) => `| ${names.join(", ")} | ${text} |`);
}

function useOf(rule: KeyRule): string {
  if (rule.use !== "refused") return rule.use;
  const values = rule.unless.map((value) => `\`${JSON.stringify(value)}\``);
  return values.length === 0 ? "refused" : `refused (${values.join(", ")})`;
}

const markdown = tables
  .flatMap((table) => [`### ${table.file}`, "", "| key | use | |", "|---|---|---|", ...rowsOf(table), ""])
  .join("\n");
const marks = ["<!-- keys: written by test/keys.test.ts -->\n", "<!-- end of keys -->"] as const;

describe("keys of files", () => {
  it("docs/formats.md lists those that the readers know (IDLM_UPDATE_KEYS=1 writes them)", () => {
    const text = readFileSync(page, "utf8");
    const [before = "", rest = ""] = text.split(marks[0]);
    const [, after = ""] = rest.split(marks[1]);
    const expected = `${before}${marks[0]}${markdown}${marks[1]}${after}`;
    if (process.env.IDLM_UPDATE_KEYS === "1") writeFileSync(page, expected);
    else expect(text).toBe(expected);
  });

  it.each(tables.map((table) => [table.file, table] as const))("%s: refuses what it says", (_, table) => {
    for (const [key, rule] of Object.entries(table.keys)) {
      const check = (value: unknown) => checkKeys([[key, value]], table, "file");
      if (rule.use !== "refused") {
        expect(check("x")).toEqual([]);
        continue;
      }
      for (const value of ["something", 2n ** 60n, -0.5]) expect(() => check(value)).toThrow(`file: ${key}`);
      for (const value of [null, [], {}, ...rule.unless]) expect(check(value)).toEqual([]);
    }
    expect(checkKeys([["nobody knows", 1]], table, "file")).toEqual(
      table === generationConfigKeys ? [] : ["nobody knows"],
    );
  });

  it("quotes unknown keys, which may hold anything", () => {
    expect(unknownKeysWarning("file", ["\u202ea\u001b[2J"])).toBe(
      'file: unknown keys are ignored: "\\u{202e}a\\u001b[2J"',
    );
  });

  it("warns of unknown keys once, and of none in known files", async () => {
    const warnings: string[] = [];
    const onWarning = (warning: string) => warnings.push(warning);
    for (const name of ["llama-tiny", "qwen2-tiny", "qwen3-tiny"]) {
      await (await load(join(fixtures, "models", name), { onWarning })).dispose();
    }
    await (await load(join(fixtures, "gguf", "tiny64-Q8_0.gguf"), { onWarning })).dispose();
    expect(warnings).toEqual([]);
    const folder = join(temporary, "model");
    cpSync(join(fixtures, "models", "llama-tiny"), folder, { recursive: true });
    const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, new_key: 1, newer_key: { a: 2 } }));
    await (await load(folder, { onWarning })).dispose();
    expect(warnings).toEqual([`${join(folder, "config.json")}: unknown keys are ignored: "new_key", "newer_key"`]);
  });
});
