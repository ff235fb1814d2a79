import { availableParallelism, totalmem } from "node:os";
import { cpuName } from "../bench/cores.ts";
import { timeRows } from "../bench/forward-times.ts";
import { type ForwardWork, forwardWork, measureRoofs, type Roofs } from "../bench/roofs.ts";
import type { Backend } from "../compute/backend.ts";
import type { LossSettings } from "../compute/gradients/gated-step.ts";
import type { NativeBackend } from "../compute/native/index.ts";
import type { Program } from "../compute/program/program.ts";
import { load } from "../engine/load/load.ts";
import { compileProgram } from "../model/compile.ts";
import { baseOf, newAdapter, trainedValues } from "../training/adapter/start.ts";
import type { BaseModel } from "../training/prepare.ts";
import { trainingDefaults } from "../training/settings.ts";
import type { MeasuredSpeeds } from "./plan.ts";

/** A machine, and its speeds with a model. */
export interface MachineFigures extends MeasuredSpeeds, ForwardWork {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly backend: string;
  readonly instructionSet: string;
  readonly threads: number;
  readonly numerics: number;
  /** Bytes of an adapter's trained tensors in float32, with the default shape. */
  readonly trainedBytes: number;
  /** What bounds a forward; absent for the reference backend. */
  readonly roofs?: Roofs;
  /** Times of forwards of token rows. */
  readonly rows: readonly { readonly rows: number; readonly ms: number }[];
}

const ROW_COUNTS = [1, 2, 4, 8, 16, 32, 64] as const;
const ROW_ROUNDS = 5;

/** Sequences that `idlm write` generates at once. */
const SEQUENCES = 32;
const CONTEXT = 512;
const PROMPT_TOKENS = 48;
const WRITTEN_TOKENS = 48;
/** Of plain decoding of one sequence. */
const DECODED_TOKENS = 64;

export interface MachineRequest {
  readonly base: BaseModel;
  /** Path of the model. */
  readonly path: string;
  readonly backend: Backend;
  readonly threads: number | undefined;
  readonly signal: AbortSignal;
  readonly onPart: (what: string, share: number) => void;
}

/** Measures how fast this machine writes text, trains and decodes with a model, within some seconds. */
export async function measureMachine(request: MachineRequest): Promise<MachineFigures> {
  const { backend, signal, onPart } = request;
  onPart("memory and arithmetic", 0);
  const roofs = isNative(backend) ? await measureRoofs(backend) : undefined;
  onPart("speed of writing", 0.2);
  const speeds = await decodingSpeeds(request);
  signal.throwIfAborted();
  onPart("times of forwards", 0.5);
  const forwards = await measureForwards(request);
  const program = untrainedProgram(request);
  onPart("speed of training", 0.7);
  const trainRowsPerSecond = await trainingSpeed(backend, program, signal);
  const { name, ...info } = backend.info;
  return {
    cpu: cpuName(),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    ...{ backend: name, ...info, ...speeds, trainRowsPerSecond },
    ...forwards,
    trainedBytes: [...trainedValues(program).values()].reduce((sum, { byteLength: bytes }) => sum + bytes, 0),
    ...(roofs && { roofs }),
  };
}

function isNative(backend: Backend): backend is NativeBackend {
  return "measureArithmetic" in backend;
}

/** Forwards of the model without an adapter: their work, and their times by number of rows. */
async function measureForwards({ base, backend, signal }: MachineRequest) {
  const model = await backend.load(compileProgram(base.opened));
  try {
    const shapes = ROW_COUNTS.map((nTokens) => ({ nTokens, nMasks: 0, nRuns: 1 }));
    const times = await timeRows(model, shapes, ROW_ROUNDS, signal, () => {});
    return { ...forwardWork(model), rows: ROW_COUNTS.map((rows, i) => ({ rows, ms: times[i] ?? 0 })) };
  } finally {
    model.dispose();
  }
}

/** Tokens per second of writing, and of plain decoding of one sequence. */
async function decodingSpeeds({ base, path, threads, backend, signal }: MachineRequest) {
  const { vocabSize, contextLength } = base.opened.config;
  const context = Math.min(CONTEXT, contextLength);
  const model = await load(path, {
    ...{ adapter: false, threads, backend: backend.info.name, signal },
    ...{ context, maxSequences: SEQUENCES, cachePositions: SEQUENCES * context },
  });
  const tokensPerSecond = async (sequences: number, maxTokens: number, temperature: number) => {
    const startMs = performance.now();
    const generations = Array.from({ length: sequences }, (_, sequence) => {
      const ids = Array.from({ length: PROMPT_TOKENS }, (_, i) => ((sequence + 1) * 31 + i * 7) % vocabSize);
      return model.generate({ ids, propose: "none", maxTokens, temperature, seed: sequence, signal }).result;
    });
    const results = await Promise.all(generations);
    signal.throwIfAborted();
    const nTokens = results.reduce((sum, { tokens }) => sum + Math.max(1, tokens.length), 0);
    return (1000 * nTokens) / (performance.now() - startMs);
  };
  try {
    // The first one warms up code and memory.
    await tokensPerSecond(1, 8, 0);
    return {
      plainTokensPerSecond: await tokensPerSecond(1, DECODED_TOKENS, 0),
      writeTokensPerSecond: await tokensPerSecond(SEQUENCES, WRITTEN_TOKENS, 0.7),
    };
  } finally {
    await model.dispose();
  }
}

/** The model with an adapter of the default shape before its first step. */
function untrainedProgram({ base }: MachineRequest): Program {
  const { opened, name, sha256 } = base;
  const { nLayers, vocabSize } = opened.config;
  const draftIds = Math.min(vocabSize, trainingDefaults.draftVocabulary);
  const shape = {
    ...{ masks: trainingDefaults.masks, rank: trainingDefaults.rank, alpha: trainingDefaults.alpha },
    entryLayer: Math.floor((2 * nLayers) / 3),
    draftVocabulary: Int32Array.from({ length: draftIds }, (_, id) => id),
  };
  const adapter = newAdapter(shape, opened, baseOf(opened, name, sha256), 0);
  return compileProgram(opened, { adapter, ...(sha256 !== undefined && { modelSha256: sha256 }) });
}

const TRAIN_TOKENS = 192;
const TRAIN_STEPS = 8;
const TRAIN_SEQUENCES = 4;

/** MASK rows per second of training steps, each sequence in as many of them as in training. */
async function trainingSpeed(backend: Backend, program: Program, signal: AbortSignal): Promise<number> {
  const { masks, batchRows, depthWeights } = trainingDefaults;
  const nAnchors = Math.floor(batchRows / masks / TRAIN_SEQUENCES);
  const model = await backend.loadGated(program);
  const loss: LossSettings = { mixture: { log_overlap: 1 }, depthWeights, firstMiss: false };
  const startMs = performance.now();
  let nRows = 0;
  try {
    for (let step = 0; step < TRAIN_STEPS; step++) {
      signal.throwIfAborted();
      const sequences = Array.from({ length: TRAIN_SEQUENCES }, (_, key) => ({
        key,
        tokens: Int32Array.from({ length: TRAIN_TOKENS }, (_, i) => (key * 31 + i * 7) % program.sizes.vocabSize),
        anchors: Int32Array.from({ length: nAnchors }, (_, i) => step + i * TRAIN_STEPS),
      }));
      const { rowLosses } = await model.step({ sequences, nMasks: masks }, loss, true);
      nRows += rowLosses.length;
    }
  } finally {
    model.dispose();
  }
  return (1000 * nRows) / (performance.now() - startMs);
}
