import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Collected, collect } from "../../src/cli/terminal/collect-io.ts";
import * as library from "../../src/index.ts";
import { makeModelFolder, tinyModel } from "./model-folder.ts";
import { writeTrainingText } from "./training-text.ts";

export const root = join(import.meta.dirname, "../..");

export interface Fence {
  /** The info string after the opening backticks: "sh run". */
  readonly info: string;
  readonly body: string;
}

export function fencesOf(page: string): Fence[] {
  const text = readFileSync(join(root, page), "utf8");
  return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, info = "", body = ""]) => ({ info, body }));
}

/** Stand-ins for the files named in examples, created in `folder`, by the word in the command line. */
export function makeStandIns(folder: string): ReadonlyMap<string, string> {
  const made = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return [name, join(folder, name)] as const;
  };
  makeModelFolder(join(folder, "folder"));
  writeTrainingText(join(folder, "written"), { model: tinyModel, vocabSize: 320, rows: 8, heldOut: 2 });
  const fixture = (path: string) => join(root, "test/fixtures", path);
  return new Map([
    ["model.gguf", tinyModel],
    ["smollm2-135m-instruct", tinyModel],
    ["folder", join(folder, "folder")],
    ["shape/config.json", join(folder, "folder", "config.json")],
    ["written", join(folder, "written")],
    ["adapter", fixture("idlm/llama-tiny-entry0")],
    ["model.safetensors", fixture("models/llama-tiny/model.safetensors")],
    ["mask.safetensors", fixture("gated/llama-tiny/mask_embedding.safetensors")],
    ["ORG/REPO", "org/repo"],
    ["ORG/REPO:Q4_K_M", "org/repo:Q4_K_M"],
    made("conversation.json", '[{"role": "user", "content": "Hello"}]'),
    made("forest.json", '{"tokens": [5, 6, -1], "positions": [0, 1, 2], "parents": [-1, 0, 1], "gate": [0, 0, 1]}'),
    made("batch.json", '{"objective": "gated", "tokens": [5, 6, 7, 8, 9, 10], "m": 2, "anchors": [1, 2]}'),
    made("prompts.txt", "What is a forest?\nTell me about the sea.\nWrite a poem.\n"),
    made("book.txt", "It was the best of times. ".repeat(10)),
    made("question.txt", "What is a forest?\n"),
  ]);
}

export interface ShellExample {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Path of the file on standard input. */
  readonly stdin: string | undefined;
}

/** Parses `[NAME=value] [cat FILE |] idlm ARGUMENTS [< FILE] [> FILE]`, the only shell syntax that examples use. */
export function parseExample(line: string, standIns: ReadonlyMap<string, string>): ShellExample {
  const words = [...line.replace("node dist/cli/main.js", "idlm").matchAll(/"([^"]*)"|'([^']*)'|([^\s"']+)/g)].map(
    ([, a, b, c]) => {
      return c === undefined ? { text: a ?? b ?? "", isPlain: false } : { text: c, isPlain: true };
    },
  );
  const isSign = (word: { text: string; isPlain: boolean }, sign: string) => word.isPlain && word.text === sign;
  const comment = words.findIndex(({ text, isPlain }) => isPlain && text.startsWith("#"));
  let rest = comment < 0 ? words : words.slice(0, comment);
  const place = (text: string) => standIns.get(text) ?? text;
  const env: Record<string, string> = {};
  let stdin: string | undefined;
  if (rest[0]?.text === "cat" && isSign(rest[2] as (typeof rest)[number], "|")) {
    stdin = place(rest[1]?.text as string);
    rest = rest.slice(3);
  }
  for (let match = /^([A-Z_]+)=(.*)$/.exec(rest[0]?.text ?? ""); match !== null; ) {
    env[match[1] as string] = match[2] as string;
    rest = rest.slice(1);
    match = /^([A-Z_]+)=(.*)$/.exec(rest[0]?.text ?? "");
  }
  if (rest[0]?.text !== "idlm") throw new Error(`not a command of idlm: ${line}`);
  const argv: string[] = [];
  for (let i = 1; i < rest.length; i++) {
    const word = rest[i] as (typeof rest)[number];
    if (isSign(word, "<")) stdin = place(rest[++i]?.text as string);
    else if (isSign(word, ">")) i++;
    else argv.push(place(word.text));
  }
  return { argv, env, stdin };
}

/** Runs an example in this process. */
export async function runShellExample({ argv, env, stdin }: ShellExample): Promise<Collected> {
  const before = { ...process.env };
  Object.assign(process.env, env);
  try {
    return await collect(argv, { stdin: stdin === undefined ? "" : readFileSync(stdin) });
  } finally {
    for (const name of Object.keys(env)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
}

/** Whether the output matches an example; … stands for anything within a line, or alone for any lines. */
export function matchesShown(printed: string, shown: string): boolean {
  const pattern = shown
    .split("\n")
    .map((line) => (line === "…" ? "(?:.*\\n)*?" : `${line.split("…").map(escaped).join(".*?")} *\\n`))
    .join("");
  return new RegExp(`^${pattern}$`).test(printed.endsWith("\n") ? printed : `${printed}\n`);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/** Runs a TypeScript example, which must be plain JavaScript except for the import of `idlm`; returns what it logged. */
export async function runLibraryExample(code: string): Promise<unknown[][]> {
  const body = code
    .replace(/^import \{(.*)\} from "idlm";$/gm, "const {$1} = idlm;")
    .replaceAll('"smollm2-135m-instruct"', JSON.stringify(tinyModel));
  const logged: unknown[][] = [];
  const log = (...values: unknown[]) => void logged.push(values);
  const AsyncFunction = (async () => {}).constructor as new (
    ...source: string[]
  ) => (idlm: typeof library, console: object, process: object) => Promise<void>;
  const output = { stdout: { write: () => true } };
  await new AsyncFunction("idlm", "console", "process", body)(library, { log, error: log }, output);
  return logged;
}
