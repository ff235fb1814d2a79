import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ChatMessage } from "../engine/types.ts";

export const KINDS = ["chat", "code", "summary", "rewriting", "random"] as const;
export type Kind = (typeof KINDS)[number];

/** One text to write. */
export interface BenchPrompt {
  readonly kind: Kind;
  readonly messages: readonly ChatMessage[];
  /** What a user who wants it rewritten would predict. */
  readonly predict?: string;
  /** Where it is not greedy. */
  readonly temperature?: number;
  readonly seed?: number;
}

/** The prompts that the package carries (bench/prompts.jsonl), by kind in the order of the file. */
export function readPrompts(): readonly BenchPrompt[] {
  const lines = readFileSync(join(packageFolder(), "bench", "prompts.jsonl"), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) => JSON.parse(line) as BenchPrompt);
}

/** The folder of our package.json, from the source and from what is built of it. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json")) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}
