import { cpus } from "node:os";
import { type RowShape, timeRows } from "../../../src/bench/forward-times.ts";
import { KINDS, readPrompts } from "../../../src/bench/prompts.ts";
import { defaultAdapter, loadBareModel } from "../../../src/cli/options/bare-model.ts";
import { processIo } from "../../../src/cli/terminal/io.ts";
import { PAGE_SIZE } from "../../../src/compute/forest/forest.ts";
import type { ForwardResult, LoadedModel } from "../../../src/compute/loaded-model.ts";
import type { Sampler } from "../../../src/compute/sampling/sampler.ts";
import { neutralSettings } from "../../../src/compute/sampling/settings.ts";
import { load } from "../../../src/engine/load/load.ts";
import type { MaskNode, RecordedGeneration, TraceHeader } from "./trace.ts";

export interface RecordOptions {
  readonly model: string;
  readonly adapter: string | undefined;
  readonly threads: number;
  readonly maxTokens: number;
  /** Prompts of each kind. */
  readonly prompts: number;
  readonly onLine: (line: string) => void;
}

/** Candidates at each place: as many as the controller's trees have. */
const WIDTH = 3;
/** Pending tokens of one forward. */
const CHUNK = 24;
/** Rows that are timed, interleaved this many times. */
const REPEATS = 40;
const timed: readonly RowShape[] = [
  ...[1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64].map((nTokens) => ({ nTokens, nMasks: 0, nRuns: 1 })),
  ...[1, 2, 3, 4].flatMap((nTokens) =>
    [1, 2, 3, 4, 6, 8].map((nMasks) => ({ nTokens, nMasks, nRuns: Math.min(nTokens, nMasks) })),
  ),
];

/**
 * Records what replay needs: the outputs of plain decoding for the bundled prompts, the MASK rows' proposals after every token
 * of them, and the time of forwards by their rows. What other proposers offer follows from the tokens.
 */
export async function record({ model: name, adapter, threads, maxTokens, prompts, onLine }: RecordOptions) {
  const { signal } = new AbortController();
  const engine = await load(name, { threads, adapter: false, signal });
  const generations: Omit<RecordedGeneration, "masks">[] = [];
  const settings: { temperature: number; seed: number }[] = [];
  for (const kind of KINDS) {
    for (const { messages, predict, temperature = 0, seed = 0 } of readPrompts()
      .filter((prompt) => prompt.kind === kind)
      .slice(0, prompts)) {
      const { tokenizer } = engine;
      if (tokenizer === undefined) throw new Error("the model has no tokenizer");
      const ids = await tokenizer.encodeChat(messages);
      const { tokens } = await engine.generate({ ids, temperature, seed, maxTokens, propose: "none" }).result;
      const predicted = predict === undefined ? [] : tokenizer.encode(predict);
      generations.push({ kind, prompt: [...ids], output: [...tokens], predicted: [...predicted] });
      settings.push({ temperature, seed });
    }
  }
  await engine.dispose();
  const options = { threads, ...defaultAdapter(name, adapter) };
  const { model, info } = await loadBareModel(processIo(), name, options, signal);
  const { mask, blocks } = layersOf(model);
  const times = timed.filter(({ nTokens, nMasks }) => nMasks <= nTokens * mask.nDepths);
  const measured = await timeRows(model, times, REPEATS, signal, () => {});
  const header: TraceHeader = {
    ...{ model: name, adapter: options.adapter ?? "", cpu: cpus()[0]?.model.trim() ?? "unknown" },
    ...{ instructionSet: info.instructionSet, threads: info.threads, maxRun: mask.nDepths },
    maskShare: 1 - mask.entryLayer / blocks,
    times: times.map(({ nTokens, nMasks }, i) => ({ tokens: nTokens, masks: nMasks, ms: measured[i] ?? 0 })),
  };
  onLine(JSON.stringify(header));
  for (const [i, generation] of generations.entries()) {
    const sampler = model.createSampler({ ...neutralSettings, ...settings[i] });
    sampler.prompt(Int32Array.from(generation.prompt));
    const masks = await masksOf(model, sampler, generation, mask.nDepths);
    onLine(JSON.stringify({ ...generation, masks }));
  }
  model.dispose();
}

function layersOf(model: LoadedModel) {
  const { mask, sizes } = model.program;
  if (mask === undefined) throw new Error("the adapter has no MASK embeddings");
  return { mask, blocks: sizes.nLayers };
}

/** Proposals of MASK runs below the tokens before the output and in it, with the text's own tokens given. */
async function masksOf(
  model: LoadedModel,
  sampler: Sampler,
  { prompt, output }: Pick<RecordedGeneration, "prompt" | "output">,
  depth: number,
): Promise<MaskNode[]> {
  const text = [...prompt, ...output];
  const nPages = Math.ceil((text.length + CHUNK * (depth + 1)) / PAGE_SIZE);
  const pages = Int32Array.from({ length: nPages }, (_, i) => i);
  const cache = model.createCache(nPages);
  const forward = (at: number, n: number, runLength: number) => {
    const nRows = n * (1 + runLength);
    const rows = Int32Array.from({ length: nRows }, (_, row) => row);
    const run = (row: number) => Math.floor((row - n) / runLength);
    const inRun = (row: number) => (row - n) % runLength;
    return model.forward(
      {
        sequences: [{ length: at, pages }],
        tokens: rows.map((row) => (row < n ? (text[at + row] ?? 0) : -1)),
        positions: rows.map((row) => at + (row < n ? row : run(row) + 1 + inRun(row))),
        parents: rows.map((row) => (row < n || inRun(row) > 0 ? row - 1 : run(row))),
        gate: Uint8Array.from(rows, (row) => (row < n ? 0 : 1)),
        sequence: new Int32Array(nRows),
        needsOutput: new Uint8Array(nRows).fill(1),
      },
      cache,
    );
  };
  try {
    // Up to the token before the last one of the prompt, below which the first MASK run is.
    const nPlain = prompt.length - 1;
    for (let at = 0; at < nPlain; at += 64) await forward(at, Math.min(64, nPlain - at), 0);
    const nodes: MaskNode[] = [];
    for (let at = nPlain; at < text.length - 1; at += CHUNK) {
      const n = Math.min(CHUNK, text.length - 1 - at);
      const result = await forward(at, n, depth);
      for (let i = 0; i < n; i++) {
        const first = n + i * depth;
        nodes.push(await nodeAt(result, { sampler, first, depth, text, pending: at + i + 1 }, []));
      }
    }
    return nodes;
  } finally {
    cache.dispose();
  }
}

interface Run {
  readonly sampler: Sampler;
  /** Its first row. */
  readonly first: number;
  readonly depth: number;
  readonly text: readonly number[];
  /** Position of the pending token. */
  readonly pending: number;
}

async function nodeAt(result: ForwardResult, run: Run, path: readonly number[]): Promise<MaskNode> {
  const { sampler, first, depth, text, pending } = run;
  const level = path.length;
  const [proposed] = await result.propose([
    {
      source: { kind: "mask", row: first + level, previous: path.at(-1) ?? (text[pending] as number) },
      ...{ sampler, position: pending + 1 + level, unverified: path },
      ...{ count: WIDTH, proposeFor: "exact" },
    },
  ]);
  const tokens = [...(proposed?.tokens ?? [])];
  const confidences = Array.from(proposed?.confidences ?? [], (confidence) => Number(confidence.toFixed(4)));
  const next: MaskNode[] = [];
  if (level + 1 < depth) {
    const own = text[pending + 1 + level];
    const isOnText = path.every((token, i) => token === text[pending + 1 + i]);
    const followed = isOnText && own !== undefined && !tokens.includes(own) ? [...tokens, own] : tokens;
    for (const token of followed) next.push(await nodeAt(result, run, [...path, token]));
  }
  return { tokens, confidences, next };
}
