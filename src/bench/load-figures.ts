import type { LoadedModel } from "../compute/loaded-model.ts";
import type { NativeBackend } from "../compute/native/index.ts";
import { sha256File } from "../formats/files/sha256.ts";
import { compileProgram } from "../model/compile.ts";
import { openModel } from "../model/open/open-model.ts";
import { OwnModel } from "./own-model.ts";
import type { Peer } from "./peer.ts";
import { type Spread, spread } from "./statistics.ts";

/** Times from a file in the page cache to a loaded model, and to the first forward's logits. */
interface LoadTimes {
  readonly loadMs: Spread;
  /** Including a forward of one row: engines that map the file read it only then. */
  readonly firstMs: Spread;
}

export interface LoadFigures extends LoadTimes {
  readonly weightBytes: number;
  /** Of this process, after load and first forward, including Node. */
  readonly residentBytes: number;
  readonly peers: readonly (LoadTimes & {
    readonly name: string;
    /** Of the peer's process, including Python and the mapped file; undefined if the system does not report it. */
    readonly residentBytes: number | undefined;
  })[];
}

/** Loads the model once and times it; the caller disposes the model. */
export async function loadTimed(
  backend: NativeBackend,
  path: string,
): Promise<{ readonly model: LoadedModel; readonly loadMs: number; readonly firstMs: number }> {
  const startMs = performance.now();
  const opened = openModel(path, "gguf");
  try {
    const model = await backend.load(compileProgram(opened));
    opened.close();
    const loadMs = performance.now() - startMs;
    await new OwnModel(model, 1).rows(1, 0);
    return { model, loadMs, firstMs: performance.now() - startMs };
  } finally {
    opened.close();
  }
}

/** Loads the model and the peers in every round, interleaved. */
export async function measureLoad(
  backend: NativeBackend,
  path: string,
  startPeers: readonly (() => Promise<Peer>)[],
  options: { readonly rounds: number; readonly signal: AbortSignal; readonly onStage: (text: string) => void },
): Promise<LoadFigures> {
  await sha256File(path, undefined, options.signal); // reads the whole file into the page cache
  const times = { load: [] as number[], first: [] as number[] };
  const theirs = startPeers.map(() => ({
    name: "",
    load: [] as number[],
    first: [] as number[],
    resident: undefined as number | undefined,
  }));
  let residentBytes = 0;
  let weightBytes = 0;
  for (let round = 0; round < options.rounds; round++) {
    options.signal.throwIfAborted();
    options.onStage(`load: round ${round + 1} of ${options.rounds}`);
    const { model, loadMs, firstMs } = await loadTimed(backend, path);
    if (round === 0) residentBytes = process.memoryUsage.rss();
    weightBytes = model.weightBytes;
    model.dispose();
    times.load.push(loadMs);
    times.first.push(firstMs);
    for (const [i, start] of startPeers.entries()) {
      const peer = await start();
      const found = theirs[i] as (typeof theirs)[number];
      found.name = peer.name;
      found.load.push(peer.loadMs);
      found.first.push(peer.loadMs + (await peer.ask({ op: "prefill", tokens: 1 })).ms);
      found.resident = peer.residentBytes();
      peer.stop();
    }
  }
  return {
    loadMs: spread(times.load),
    firstMs: spread(times.first),
    weightBytes,
    residentBytes,
    peers: theirs.map(({ name, load, first, resident }) => ({
      name,
      loadMs: spread(load),
      firstMs: spread(first),
      residentBytes: resident,
    })),
  };
}
