import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFolderText } from "../formats/files/folder-text.ts";
import type { JsonObject } from "../formats/files/json.ts";
import { variablesOfFolder } from "./special-variables.ts";

interface Case {
  readonly type?: string;
  readonly config: JsonObject;
  readonly map?: JsonObject;
  readonly variables: Readonly<Record<string, string>>;
}

const fixtures = join(import.meta.dirname, "..", "..", "test", "fixtures");
/** What transformers passes to templates (scripts/special-variables.py). */
const cases: readonly Case[] = JSON.parse(readFileSync(join(fixtures, "special-variables.json"), "utf8"));
const folder = readFolderText(join(fixtures, "reports", "06-special-token-variables", "model"));

describe("special tokens as transformers passes them to templates", () => {
  it.each(cases.map((one) => [JSON.stringify({ ...one, variables: undefined }), one] as const))("%s", (_, one) => {
    const { type = "llama", config, map = {}, variables } = one;
    const modelConfig = { ...folder.modelConfig, model_type: type };
    const found = variablesOfFolder({ ...folder, modelConfig, tokenizerConfig: config, specialTokensMap: map });
    expect(found).toEqual(variables);
  });
});
