import type { TensorType } from "../../formats/tensor/tensor-type.ts";
import type { Operation, RowSet, Shape } from "./operations.ts";

/**
 * The model as a program: a list of operations over named values, which a backend executes for a given forest. The list
 * is complete: every value is written once, every parameter is in one table, every operation says which rows it runs on.
 */
export interface Program {
  readonly sizes: ProgramSizes;
  /** What K and V are rounded to in the cache: f16 for quantised models, f32 for float ones. */
  readonly cacheType: "f16" | "f32";
  readonly rope: Rope;
  /** Of `forward`, by id. */
  readonly values: Readonly<Record<string, Value>>;
  /** Of `forward` and all heads, by id: names of the base model's weights, and those of an adapter's tensors. */
  readonly parameters: Readonly<Record<string, Parameter>>;
  /** In order: a value is written before it is read. */
  readonly forward: readonly Operation[];
  readonly results: ForwardResults;
  /** What MASK rows there can be; absent: none. */
  readonly mask?: MaskRows;
  /** What proposes from hidden states. A forward does not run them. */
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

/** Float32 [row, width], for each row of a set. */
export interface Value {
  readonly width: number;
  readonly rows: RowSet;
}

/** A tensor as stored. A matrix is [rows, cols] = [out, in]; a vector has rows 1. */
export interface Parameter extends Shape {
  readonly type: TensorType;
  /** Raw bytes in the file's layout, rows one after the other. */
  readonly bytes: Uint8Array;
  /** Row i as used is stored row rowOrder[i] (element i of a vector); absent: the identity. */
  readonly rowOrder?: Int32Array;
  /** Base parameters are packed once, however many adapters stand over them. */
  readonly origin: "base" | "adapter";
  readonly isTrainable: boolean;
}

/** Values that a forward yields. */
export interface ForwardResults {
  /** After the final norm, of output rows. */
  readonly hidden: string;
  /** Of output token rows: [vocabulary] by id. */
  readonly logits: string;
  /** Of output MASK rows: [draft vocabulary] in its order, or [vocabulary] by id where there is none. Absent without `mask`. */
  readonly maskLogits?: string;
}

export interface MaskRows {
  /** Depths that have an embedding of their own; deeper MASK rows are refused unless one vector serves every depth. */
  readonly nDepths: number;
  readonly sharedByDepth: boolean;
  /** MASK rows join the forward at this layer; 0: from the start, from their embedding alone. */
  readonly entryLayer: number;
}

export interface Heads {
  /** Re-ranks a MASK row's candidates, given the token before the predicted one. */
  readonly sampler?: HeadProgram;
  /** Medusa heads: head k guesses the token k + 2 behind a token row from that row's hidden state. */
  readonly extra: readonly HeadProgram[];
}

/** A list of operations on rows of the set `head`, over the hidden state of a forward's row and a previous id. */
export interface HeadProgram {
  /** `HEAD_INPUT` among them, which no operation writes. */
  readonly values: Readonly<Record<string, Value>>;
  readonly operations: readonly Operation[];
  /** The value with the logits: [draft vocabulary] in its order, or [vocabulary] by id where there is none. */
  readonly logits: string;
}

/** The value of a head's list that stands for the forward's hidden state. */
export const HEAD_INPUT = "hidden";

/** Id of the parameter that lists the tokens that MASK rows and heads can propose: I32, ascending. */
export const DRAFT_VOCABULARY = "draft_vocabulary";

/** Ids that MASK rows and heads can propose, ascending; undefined: all. */
export function draftVocabularyOf({ parameters }: Program): Int32Array | undefined {
  const ids = parameters[DRAFT_VOCABULARY];
  return ids === undefined ? undefined : idsOf(ids);
}

/** The values of a parameter of type I32. */
export function idsOf({ bytes, cols }: Parameter): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Int32Array.from({ length: cols }, (_, i) => view.getInt32(4 * i, true));
}

/** Floats of one position's K (and as many of its V) in each layer of the KV cache. */
export function cacheWidths({ forward, values }: Program): readonly number[] {
  return forward.flatMap((op) => (op.kind === "attention" ? [values[op.inputs.k]?.width ?? 0] : []));
}

/** The base's matrices that token rows are read from, and that logits are made with. */
export function tokenMatrices({ forward }: Program): { readonly embedding: string; readonly output: string } {
  let embedding = "";
  let output = "";
  for (const op of forward) {
    if (op.kind === "embed") embedding = op.parameters.weight;
    if (op.kind === "logits") output = op.parameters.weight;
  }
  return { embedding, output };
}
