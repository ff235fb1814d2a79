import type { TensorType } from "../../formats/tensor/tensor-type.ts";
import type { Operation, RowSet, Shape } from "./operations.ts";

/**
 * A model as a program: a list of operations over named values, which a backend runs for a forest. The list is
 * complete: every value is written once, every parameter is in one table, every operation states its rows.
 */
export interface Program {
  readonly sizes: ProgramSizes;
  /** Type of K and V in the cache: f16 for quantised models, f32 for float ones. */
  readonly cacheType: "f16" | "f32";
  readonly rope: Rope;
  /** Values of `forward`, by id. */
  readonly values: Readonly<Record<string, Value>>;
  /** Parameters of `forward` and all heads, by id: names of base weights, and of an adapter's tensors. */
  readonly parameters: Readonly<Record<string, Parameter>>;
  /** In order: values are written before they are read. */
  readonly forward: readonly Operation[];
  readonly results: ForwardResults;
  /** Properties of MASK rows; absent: no MASK rows. */
  readonly mask?: MaskRows;
  /** Heads that propose from hidden states, not run by a forward. */
  readonly heads: Heads;
}

export interface ProgramSizes {
  readonly nLayers: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
}

/** Rotary position embedding of every `rope` operation. */
export interface Rope {
  /** Radians per position of pair (i, i + headDim / 2). */
  readonly inverseFrequencies: Float64Array;
  /** Multiplies cos and sin (YaRN). */
  readonly attentionFactor: number;
}

/** Float32 [row, width], for the rows of a set. */
export interface Value {
  readonly width: number;
  readonly rows: RowSet;
}

/** A tensor as stored. A matrix is [rows, cols] = [out, in]; a vector has rows 1. */
export interface Parameter extends Shape {
  readonly type: TensorType;
  /** Raw bytes in the file's layout, rows one after the other. */
  readonly bytes: Uint8Array;
  /** Row i of the parameter is stored row rowOrder[i] (element i of a vector); absent: the identity. */
  readonly rowOrder?: Int32Array;
  /** Base parameters are packed once for all adapters. */
  readonly origin: "base" | "adapter";
  readonly isTrainable: boolean;
}

/** Results of a forward. */
export interface ForwardResults {
  /** Of output rows, after the final norm. */
  readonly hidden: string;
  /** Of output token rows: [vocabulary] by id. */
  readonly logits: string;
  /** Of output MASK rows: [draft vocabulary] in its order, or [vocabulary] by id without one. Absent without `mask`. */
  readonly maskLogits?: string;
}

export interface MaskRows {
  /** Number of MASK embeddings by depth. Deeper MASK rows are rejected unless one embedding serves all depths. */
  readonly nDepths: number;
  readonly sharedByDepth: boolean;
  /** Layer at which MASK rows enter the forward; 0: at the start, from their embedding alone. */
  readonly entryLayer: number;
}

export interface Heads {
  /** Re-ranks a MASK row's candidates, given the token before the predicted one. */
  readonly sampler?: HeadProgram;
  /** Medusa heads: head k predicts the token at distance k + 2 from a token row's hidden state. */
  readonly extra: readonly HeadProgram[];
}

/**
 * Operations on rows of the set `head`, over the hidden state of a row and the previous token. The reference executes any
 * list. Limit of the native backend: it executes the two forms that model/compile/heads.ts emits (a sampler head and a
 * Medusa head), in which it computes only the logits of a shortlist, and rejects other lists at load.
 */
export interface HeadProgram {
  /** Includes `HEAD_INPUT`, which no operation writes. */
  readonly values: Readonly<Record<string, Value>>;
  readonly operations: readonly Operation[];
  /** The value with the logits: [draft vocabulary] in its order, or [vocabulary] by id without one. */
  readonly logits: string;
}

/** The value of a head's list that is the hidden state of the forward. */
export const HEAD_INPUT = "hidden";

/** Id of the parameter with the tokens that MASK rows and heads can propose: I32, ascending. */
export const DRAFT_VOCABULARY = "draft_vocabulary";

/** Tokens that MASK rows and heads can propose, ascending; undefined: all. */
export function draftVocabularyOf({ parameters }: Program): Int32Array | undefined {
  const ids = parameters[DRAFT_VOCABULARY];
  return ids === undefined ? undefined : idsOf(ids);
}

/** The values of a parameter of type I32. */
export function idsOf({ bytes, cols }: Parameter): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Int32Array.from({ length: cols }, (_, i) => view.getInt32(4 * i, true));
}

/** Floats per position of K (and as many of V) in each layer of the KV cache. */
export function cacheWidths({ forward, values }: Program): readonly number[] {
  return forward.flatMap((op) => (op.kind === "attention" ? [values[op.inputs.k]?.width ?? 0] : []));
}

/** Base matrices of the token embedding and of the logits. */
export function tokenMatrices({ forward }: Program): { readonly embedding: string; readonly output: string } {
  let embedding = "";
  let output = "";
  for (const op of forward) {
    if (op.kind === "embed") embedding = op.parameters.weight;
    if (op.kind === "logits") output = op.parameters.weight;
  }
  return { embedding, output };
}
