import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { collect } from "../src/cli/terminal/collect-io.ts";
import { openGguf } from "../src/formats/gguf/gguf.ts";
import { type GgufValueToWrite, writeGguf } from "../src/formats/gguf/gguf-writer.ts";
import { fixtures } from "./support/backend-contract.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-hostile-"));
afterAll(() => rmSync(folder, { recursive: true }));
const hostile = join(fixtures, "hostile");

interface HostileCase {
  readonly file: string;
  readonly format: "gguf" | "safetensors" | "directory";
  readonly expect: "error" | "loads" | "either";
  readonly wrong: string;
}
const cases = JSON.parse(readFileSync(join(hostile, "manifest.json"), "utf8")) as HostileCase[];

const forest = join(folder, "forest.json");
writeFileSync(forest, JSON.stringify({ tokens: [1, 2], positions: [0, 1], parents: [-1, 0], gate: [0, 0] }));
const out = join(folder, "out.safetensors");
const text = join(folder, "text.txt");
writeFileSync(text, "some words");

/** All commands that open a model to use it. */
const commands: Readonly<Record<string, (model: string) => readonly string[]>> = {
  run: (model) => ["run", model, "words", "--raw", "--max-tokens", "2"],
  chat: (model) => ["chat", model],
  race: (model) => ["race", model, "--max-tokens", "2"],
  score: (model) => ["score", model, "--text", text],
  tokenize: (model) => ["tokenize", model, "words"],
  forward: (model) => ["forward", model, "--forest", forest, "--out", out],
  doctor: (model) => ["doctor", model],
};

async function expectRefused(argv: readonly string[], ...messages: readonly (string | RegExp)[]): Promise<void> {
  const before = process.memoryUsage().arrayBuffers;
  const { status, stderr } = await collect(argv, { stdin: "words\n" });
  for (const message of messages) expect(stderr, argv.join(" ")).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect({ argv, status }).toEqual({ argv, status: 3 });
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64e6);
}

describe.each(Object.entries(commands))("idlm %s", (_, argvOf) => {
  it.each(cases.filter(({ format, expect: due }) => format !== "safetensors" && due === "error"))(
    "refuses $file: $wrong",
    async ({ file }) => {
      await expectRefused(argvOf(join(hostile, file)), file);
    },
  );

  it.each([
    ["a type too few", "tokenizer.ggml.token_type", (value: unknown) => (value as Int32Array).subarray(1)],
    [
      "a type that is none",
      "tokenizer.ggml.token_type",
      (value: unknown) => Int32Array.from(value as Int32Array).fill(9),
    ],
    [
      "a token twice",
      "tokenizer.ggml.tokens",
      (value: unknown) => (value as string[]).map((t, i) => (i === 5 ? "a" : t)),
    ],
    ["a token too few", "tokenizer.ggml.tokens", (value: unknown) => (value as string[]).slice(1)],
    ["a merge of nothing known", "tokenizer.ggml.merges", () => ["zz yy"]],
    ["an end beyond the tokens", "tokenizer.ggml.eos_token_id", () => 264],
    ["parts that are not there", "split.count", () => 3],
  ] as const)("refuses a vocabulary or a split with %s", async (_, key, change) => {
    const file = openGguf(join(hostile, "gguf-valid.gguf"));
    const metadata = new Map<string, GgufValueToWrite>(file.metadata);
    metadata.set(key, change(file.metadata.get(key)) as GgufValueToWrite);
    const tensors = [...file.tensors.values()].map(({ name, type, shape, bytes }) => {
      return { name, type, dimensions: [...shape].reverse(), data: bytes };
    });
    const path = join(folder, "spoilt.gguf");
    writeGguf(path, { metadata, tensors });
    file.close();
    await expectRefused(
      argvOf(path),
      /spoilt\.gguf: (tokenizer\.ggml\.(tokens|token_type|merges|eos_token_id)|split\.)/,
    );
  });

  it.each([
    [
      "an end token beyond the vocabulary",
      "generation_config.json",
      { eos_token_id: 264 },
      /eos_token_id: expected ids/,
    ],
    ["an end token that is text", "generation_config.json", { eos_token_id: "2" }, /eos_token_id: expected ids/],
    ["a template that is a number", "tokenizer_config.json", { chat_template: 5 }, /chat_template: expected a string/],
    ["a tokenizer without a model", "tokenizer.json", { version: "1.0" }, /tokenizer\.json: model: expected/],
  ])("refuses a folder with %s", async (_, name, content, message) => {
    const model = join(folder, "model");
    rmSync(model, { recursive: true, force: true });
    cpSync(join(hostile, "dir-valid"), model, { recursive: true });
    writeFileSync(join(model, name), JSON.stringify(content));
    await expectRefused(argvOf(model), message);
  });

  it.each(["config.json", "model.safetensors", "tokenizer.json", "generation_config.json", "chat_template.jinja"])(
    "does not follow a %s that points outside of the folder",
    async (name) => {
      const model = join(folder, "linked");
      rmSync(model, { recursive: true, force: true });
      cpSync(join(hostile, "dir-valid"), model, { recursive: true });
      rmSync(join(model, name), { force: true });
      mkdirSync(join(folder, "outside"), { recursive: true });
      writeFileSync(join(folder, "outside", name), "{}");
      symlinkSync(join(folder, "outside", name), join(model, name));
      await expectRefused(argvOf(model), new RegExp(`${name}: cannot be read: it is a link that points outside`));
    },
  );
});

describe("idlm forward", () => {
  const model = join(hostile, "gguf-valid.gguf");

  it.each(cases.filter(({ format, expect: due }) => format === "safetensors" && due === "error"))(
    "refuses $file: $wrong",
    async ({ file }) => {
      await expectRefused(
        ["forward", model, "--mask-embedding", join(hostile, file), "--forest", forest, "--out", out],
        file,
      );
    },
  );

  it.each(cases.filter(({ format, expect: due }) => format !== "safetensors" && due === "loads"))(
    "computes with $file: $wrong",
    async ({ file }) => {
      const { status, stderr } = await collect(["forward", join(hostile, file), "--forest", forest, "--out", out]);
      expect({ status, stderr }).toMatchObject({ status: 0 });
    },
  );
});

it("idlm run reports logits that are not finite if a weight is NaN", async () => {
  const model = join(hostile, "gguf-nan-weight.gguf");
  const { status, stderr } = await collect(["run", model, "words", "--raw", "--max-tokens", "4"]);
  expect(stderr).toMatch(/not finite/);
  expect(status).toBe(7);
});
