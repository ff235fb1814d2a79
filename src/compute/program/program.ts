import type { TensorType } from "../../formats/tensor/tensor.ts";

/**
 * The model as a program: a flat list of operations over named buffers, executed by a backend for a given forest.
 * Buffers are float32, one row per row of the forest: [row, width].
 */
export interface Program {
  /** Width (floats per row) of each buffer. */
  readonly buffers: Readonly<Record<string, number>>;
  /** Weights by id. */
  readonly weights: Readonly<Record<string, Weight>>;
  readonly operations: readonly Operation[];
  readonly nLayers: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
  /** What K and V are rounded to in the cache: f16 for quantised models, f32 for float ones. */
  readonly cacheType: "f16" | "f32";
  /** Rotary position embedding; pairs are (i, i + headDim/2), always: rows of weights are reordered at load. */
  readonly rope: {
    readonly inverseFrequencies: Float64Array /** multiplies cos and sin (YaRN) */;
    readonly attentionFactor: number;
  };
  /** What concerns MASK rows; absent where no adapter (and no MASK embedding) is loaded. */
  readonly mask?: MaskProgram;
  /** Ids (ascending) whose output rows MASK rows and extra heads look at; absent: all. */
  readonly draftVocabulary?: Int32Array;
  /** Medusa heads: head k guesses the token at k + 2 behind a token row from that row's hidden state. */
  readonly extraHeads?: readonly ExtraHead[];
}

/** Row-major float32 [hidden, hidden] and [hidden]: logits = output matrix · (h + silu(weight·h + bias)). */
export interface ExtraHead {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

export interface MaskProgram {
  /** [depth, hidden]: the input of the MASK row at depth j is row min(j, depths) − 1. */
  readonly embedding: Float32Array;
  readonly nDepths: number;
  /** True if one vector serves every depth. */
  readonly sharedByDepth: boolean;
  /** MASK rows join the forward at this layer; 0: from the start, from their embedding alone. */
  readonly entryLayer: number;
  /** For entryLayer > 0: input = anchor's hidden state entering that layer × entryScale + embedding. */
  readonly entryScale: number;
  /** Row-major float32 [hidden, 2·hidden] and [hidden, hidden]: h' = h + w2·silu(w1·[h; E[prev]/rms(E[prev])]). */
  readonly samplerHead?: { readonly w1: Float32Array; readonly w2: Float32Array };
}

/** A weight as stored. A matrix is [rows, cols] = [out, in]; a vector has rows 1. */
export interface Weight {
  readonly rows: number;
  readonly cols: number;
  readonly type: TensorType;
  /** Raw bytes in the file's layout, rows one after the other. */
  readonly bytes: Uint8Array;
  /** Row i of the weight as used is stored row rowOrder[i]; absent: the identity. */
  readonly rowOrder?: Int32Array;
}

/** A low-rank term that acts on rows whose gate is on: y += scale · B·(A·x). Float32 row-major. */
export interface Lora {
  readonly rank: number;
  /** [rank, in] */
  readonly a: Float32Array;
  /** [out, rank] */
  readonly b: Float32Array;
  readonly scale: number;
}

/** One product of a linear operation: out = weight·x (+ bias) (+ lora on gated rows). */
export interface LinearPart {
  readonly weight: string;
  readonly bias?: string;
  readonly lora?: Lora;
  readonly out: string;
}

export type Operation =
  /** Token rows: the row of the embedding matrix. MASK rows: their MASK embedding if entryLayer is 0. */
  | { readonly kind: "embed"; readonly weight: string; readonly out: string }
  /** Start of layer E > 0: MASK rows of x become anchor's row of x · entryScale + MASK embedding. From here they take part. */
  | { readonly kind: "enter"; readonly x: string }
  /** Root mean square norm over consecutive groups of `weight.cols` floats of a row (the whole row, or each head). In place if x = out. */
  | {
      readonly kind: "rmsnorm";
      readonly x: string;
      readonly weight: string;
      readonly epsilon: number;
      readonly out: string;
    }
  | { readonly kind: "linear"; readonly x: string; readonly parts: readonly LinearPart[] }
  /** Rotates q [nHeads·headDim] and k [nKvHeads·headDim] in place by the row's position. */
  | { readonly kind: "rope"; readonly q: string; readonly k: string }
  /** Rounds k and v to the cache's type, writes them to the row's slot, then each row attends to its ancestors and itself. */
  | {
      readonly kind: "attention";
      readonly layer: number;
      readonly q: string;
      readonly k: string;
      readonly v: string;
      readonly out: string;
    }
  /** out = silu(gate) ⊙ up */
  | { readonly kind: "swiglu"; readonly gate: string; readonly up: string; readonly out: string }
  /** x += y */
  | { readonly kind: "add"; readonly x: string; readonly y: string }
  /** Keeps the rows whose logits (or hidden states) are wanted, in forest order. From here buffers hold those rows only. */
  | { readonly kind: "gather"; readonly x: string; readonly out: string }
  /** Token rows: all vocabSize logits. MASK rows: those of the draft vocabulary (all where there is none). */
  | { readonly kind: "logits"; readonly x: string; readonly weight: string };
