import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ChatMessage } from "../engine/types.ts";

export const KINDS = ["chat", "code", "summary", "rewriting", "random"] as const;
export type Kind = (typeof KINDS)[number];

/** A benchmark prompt. */
export interface BenchPrompt {
  readonly kind: Kind;
  readonly messages: readonly ChatMessage[];
  /** Predicted output, for rewriting tasks. */
  readonly predict?: string;
  /** Default: greedy. */
  readonly temperature?: number;
  readonly seed?: number;
}

/** The bundled prompts (bench/prompts.jsonl), in the order of the file. */
export function readPrompts(): readonly BenchPrompt[] {
  const lines = readFileSync(join(packageFolder(), "bench", "prompts.jsonl"), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) => JSON.parse(line) as BenchPrompt);
}

/** The folder of idlm's package.json, found from src/ and from dist/. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json")) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}
