import { join } from "node:path";
import { type BenchPrompt, readPrompts } from "../bench/prompts.ts";
import type { ChatMessage } from "../engine/types.ts";
import { readLines } from "../formats/files/read-lines.ts";
import type { TextRow } from "../training/text/row.ts";
import { readTextManifest, TEXT_FILE } from "../training/text/text-manifest.ts";

/** A prompt that the adapter was not trained on. */
export interface HeldOutPrompt {
  readonly source: string;
  /** The last one is the user's. */
  readonly messages: readonly ChatMessage[];
  readonly temperature: number;
  readonly seed: number;
}

const MAX_LINE_BYTES = 64 * 2 ** 20;

/** Fewer prompts are filled up with those of `idlm bench`: a short text has few held-out rows. */
const LEAST = 4;

/** The first `most` prompts of held-out rows, taken from the sources in turn. */
export async function heldOutPrompts(textFolder: string, most: number, signal: AbortSignal): Promise<HeldOutPrompt[]> {
  const bySource = new Map<string, HeldOutPrompt[]>();
  let bytesLeft = readTextManifest(textFolder)?.files[0].bytes ?? 0;
  for await (const { text, nBytes } of readLines(join(textFolder, TEXT_FILE), MAX_LINE_BYTES, signal)) {
    bytesLeft -= nBytes;
    if (bytesLeft < 0) break;
    const { split, source, messages, temperature, seed } = JSON.parse(text ?? "null") as TextRow;
    if (split !== "held-out") continue;
    const prompt = { source, messages: messages.slice(0, -1), temperature, seed };
    bySource.set(source, [...(bySource.get(source) ?? []), prompt]);
  }
  const chosen: HeldOutPrompt[] = [];
  const longest = Math.max(0, ...[...bySource.values()].map(({ length }) => length));
  for (let i = 0; i < longest; i++) {
    for (const source of [...bySource.keys()].sort()) {
      const prompt = bySource.get(source)?.[i];
      if (prompt !== undefined && chosen.length < most) chosen.push(prompt);
    }
  }
  const missing = Math.max(0, Math.min(LEAST, most) - chosen.length);
  return [...chosen, ...readPrompts().slice(0, missing).map(fromBench)];
}

function fromBench({ kind, messages, temperature = 0, seed = 0 }: BenchPrompt): HeldOutPrompt {
  return { source: kind, messages, temperature, seed };
}
