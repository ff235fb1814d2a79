import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { load } from "./load.ts";

const model = join(import.meta.dirname, "../../../test/fixtures/reports/06-special-token-variables/model");
const root = mkdtempSync(join(tmpdir(), "idlm-templates-"));
afterAll(() => rmSync(root, { recursive: true }));

const config = { tokenizer_class: "PreTrainedTokenizerFast", bos_token: "<|begin|>", pad_token: "<|pad|>" };
const named = (name: string, template: string) => ({ name, template });
const tools = [{ name: "f" }];
let nFolders = 0;

/** A model folder with these files instead of those of the fixture. */
function folderWith(files: Readonly<Record<string, string>>, chatTemplate?: unknown): string {
  const folder = join(root, String(nFolders++));
  cpSync(model, folder, { recursive: true });
  rmSync(join(folder, "chat_template.jinja"));
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ ...config, chat_template: chatTemplate }));
  mkdirSync(join(folder, "additional_chat_templates"));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

async function textsOf(folder: string) {
  const opened = await load(folder, { backend: "reference" });
  const render = async (options: object) =>
    opened.detokenize((await opened.tokenizer?.encodeChat([{ role: "user", content: "hi" }], options)) ?? []);
  const texts = [await render({}), await render({ tools })];
  await opened.dispose();
  return texts;
}

const [plain, forTools] = ["{{ messages[0].content }}", "{{ tools[0].function.name }}{{ bos_token }}"];
const file = { "chat_template.jinja": "J" };
const toolFile = { "additional_chat_templates/tool_use.jinja": "{{ tools|length }}A" };

describe("a model's chat template, and one for tools", () => {
  it.each([
    ["a text", {}, `${plain}{# tools #}`, ["hi", "hi"]],
    ["a list of named ones", {}, [named("tool_use", forTools), named("default", plain)], ["hi", "f<|begin|>"]],
    ["an object of named ones", {}, { default: plain, tool_use: forTools, rag: "R" }, ["hi", "f<|begin|>"]],
    ["a file, which takes precedence", file, [named("default", "D{# tools #}")], ["J", "J"]],
    ["a file, with one for tools", { ...file, ...toolFile }, undefined, ["J", "1A"]],
    ["a file for tools only", toolFile, "S", ["S", "1A"]],
    [
      "line ends of Windows",
      { "chat_template.jinja": "{% if true %}\r\n a\r\n{% endif %}\r\nb\r\n" },
      "",
      [" a\nb", " a\nb"],
    ],
    ["a byte order mark", { "chat_template.jinja": "\ufeffa" }, "", ["\ufeffa", "\ufeffa"]],
  ])("%s", async (_, files, chatTemplate, texts) => {
    // A template that does not name tools gets them as text in the system message, before it is rendered.
    expect(await textsOf(folderWith(files, chatTemplate))).toEqual(texts);
  });

  it("only one for tools: others have none", async () => {
    const folder = folderWith({}, [named("tool_use", forTools)]);
    await expect(textsOf(folder)).rejects.toThrow(/has no chat template/);
  });

  it("arguments of a template override special tokens", async () => {
    const opened = await load(folderWith({}, "{{ pad_token }}"), { backend: "reference" });
    const messages = [{ role: "user", content: "hi" }] as const;
    const ids = await opened.tokenizer?.encodeChat(messages, { templateArguments: { pad_token: "x" } });
    expect(opened.detokenize(ids ?? [])).toBe("x");
    await opened.dispose();
  });
});
