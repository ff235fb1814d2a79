import { join } from "node:path";
import { load } from "../engine/load/load.ts";
import { IdlmError } from "../errors.ts";
import { readTextManifest, type TextManifest } from "../training/text/text-manifest.ts";
import { type TextTotals, writeText } from "../training/text/index.ts";
import type { StageContext } from "./context.ts";
import type { Plan } from "./plan.ts";

/** The text that was written. */
export type WriteFigures = Pick<
  TextManifest,
  "rows" | "held_out_rows" | "response_tokens" | "sources" | "temperatures" | "dropped" | "sha256"
>;

/** Training needs some rows, however little time there is, and evaluation a held-out one, if one comes early. */
const [LEAST_ROWS, ENOUGH_ROWS] = [40, 200];

export function textFolder(out: string): string {
  return join(out, "text");
}

/** Has the model write training text until the plan's tokens or the plan's time are used up. */
export async function writeStage(
  context: StageContext,
  { writeTokens: tokens, seconds }: Plan,
  prompts: string | undefined,
): Promise<WriteFigures> {
  const { path, out, settings, threads, backend, signal, workedMs, onProgress, onNotice } = context;
  const folder = textFolder(out);
  const timeIsUp = new AbortController();
  let rows = 0;
  const follow = ({ rows: found, heldOutRows, responseTokens }: TextTotals) => {
    rows = found;
    const timeShare = workedMs() / 1000 / seconds.write;
    onProgress(Math.max(timeShare, responseTokens / tokens), `${rows} rows, ${responseTokens} tokens`);
    if (timeShare >= 1 && rows >= (heldOutRows > 0 ? LEAST_ROWS : ENOUGH_ROWS)) timeIsUp.abort();
  };
  try {
    await writeText({
      ...{ model: path, out: folder, tokens, seed: settings.seed, prompts, onNotice },
      signal: AbortSignal.any([signal, timeIsUp.signal]),
      load: (limits) => load(path, { adapter: false, threads, backend: backend.info.name, signal, ...limits }),
      onProgress: ({ totals }) => follow(totals),
    });
  } catch (error) {
    signal.throwIfAborted();
    const isUsedUp = error instanceof IdlmError && error.code === "usage" && rows > 0;
    if (isUsedUp) onNotice(error.message);
    else if (!timeIsUp.signal.aborted) throw error;
  }
  const manifest = readTextManifest(folder);
  if (manifest === undefined) throw new Error(`${folder}: no manifest`);
  const { held_out_rows, response_tokens, sources, temperatures, dropped, sha256 } = manifest;
  return { rows: manifest.rows, held_out_rows, response_tokens, sources, temperatures, dropped, sha256 };
}
