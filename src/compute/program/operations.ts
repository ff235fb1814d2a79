/** Set of rows of a forward that an operation runs on. */
export type RowSet =
  /** Token rows. */
  | "token"
  /** MASK rows. */
  | "mask"
  | "all"
  /** Rows whose hidden state or logits are requested. */
  | "output"
  | "output-token"
  | "output-mask"
  /** In a head's list: pairs of an output row and the token before the predicted one. */
  | "head";

/** Description of a kind of operation. Names that end in `?` are optional. */
interface KindDescription {
  /** Values it reads. */
  readonly inputs: readonly string[];
  /** Parameters, as ids in the program's table. */
  readonly parameters: readonly string[];
  /** Numbers. */
  readonly attributes: readonly string[];
  /** Inputs and parameters that have gradients. */
  readonly gradients: readonly string[];
}

/**
 * All kinds of operations. A backend has a table over these kinds for its forward, and one for its gradients, so a
 * missing kind is a type error. Each operation writes one value; its width follows from `shapeRules` below.
 */
export const operationKinds = {
  /** The row of a matrix for a token: the row's own, or the previous one in a head. */
  embed: { inputs: [], parameters: ["weight"], attributes: [], gradients: ["weight"] },
  /** MASK embedding of the row's depth: row min(depth, rows of the embedding) − 1. */
  "mask-embed": { inputs: [], parameters: ["embedding"], attributes: [], gradients: ["embedding"] },
  /** x of the anchor · scale + MASK embedding of the row's depth. The anchor is the token row above the MASK run. */
  enter: {
    inputs: ["x"],
    parameters: ["scale", "embedding"],
    attributes: [],
    gradients: ["x", "scale", "embedding"],
  },
  /** A value with the token rows of one value and the MASK rows of another. */
  join: { inputs: ["token", "mask"], parameters: [], attributes: [], gradients: ["token", "mask"] },
  /** x / √(mean x² + epsilon) · weight, over consecutive groups of `width` floats: the whole row, or each head. */
  rmsnorm: {
    inputs: ["x"],
    parameters: ["weight?"],
    attributes: ["epsilon", "width"],
    gradients: ["x", "weight"],
  },
  /** weight · x (+ bias) */
  linear: { inputs: ["x"], parameters: ["weight", "bias?"], attributes: [], gradients: ["x", "weight", "bias"] },
  /** Rows with gate 1: y + scale · b · (a · x). Others: y. (LoRA, arXiv 2106.09685.) */
  lora: { inputs: ["y", "x"], parameters: ["a", "b"], attributes: ["scale"], gradients: ["y", "x", "a", "b"] },
  /** Rotates pairs (i, i + headDim / 2) of every head by the row's position (RoFormer, arXiv 2104.09864). */
  rope: { inputs: ["x"], parameters: [], attributes: ["headDim"], gradients: ["x"] },
  /**
   * Rounds k and v to the cache's type and stores them in the row's slot of `layer`; then each row attends to the
   * cached positions of its sequence, its ancestors and itself: to the last `window` of these, or to all.
   */
  attention: {
    inputs: ["q", "k", "v"],
    parameters: [],
    attributes: ["layer", "nHeads", "nKvHeads", "headDim", "window?"],
    gradients: ["q", "k", "v"],
  },
  /** silu(gate) ⊙ up */
  swiglu: { inputs: ["gate", "up"], parameters: [], attributes: [], gradients: ["gate", "up"] },
  silu: { inputs: ["x"], parameters: [], attributes: [], gradients: ["x"] },
  add: { inputs: ["x", "y"], parameters: [], attributes: [], gradients: ["x", "y"] },
  /** x, then y. */
  concat: { inputs: ["x", "y"], parameters: [], attributes: [], gradients: ["x", "y"] },
  /** The rows of x that later operations need. */
  gather: { inputs: ["x"], parameters: [], attributes: [], gradients: ["x"] },
  /** weight · x, for the rows of weight listed in `ids`, in that order; without ids for all rows. */
  logits: { inputs: ["x"], parameters: ["weight", "ids?"], attributes: [], gradients: ["x", "weight"] },
} as const satisfies Readonly<Record<string, KindDescription>>;

export type OperationKind = keyof typeof operationKinds;

type Names<Part extends keyof KindDescription, K extends OperationKind> = (typeof operationKinds)[K][Part][number];
type Required<Name> = Name extends `${string}?` ? never : Name & string;
type Optional<Name> = Name extends `${infer Base}?` ? Base : never;
type Fields<Part extends keyof KindDescription, K extends OperationKind, Field> = Readonly<
  Record<Required<Names<Part, K>>, Field> & Partial<Record<Optional<Names<Part, K>>, Field>>
>;

/** An operation of kind K; by default a union of all kinds. */
export type Operation<K extends OperationKind = OperationKind> = {
  [Kind in K]: {
    readonly kind: Kind;
    readonly rows: RowSet;
    /** Ids of values. */
    readonly inputs: Fields<"inputs", Kind, string>;
    /** Ids of parameters. */
    readonly parameters: Fields<"parameters", Kind, string>;
    readonly attributes: Fields<"attributes", Kind, number>;
    /** The value it writes. */
    readonly out: string;
  };
}[K];

/** Rows and columns of a parameter. */
export interface Shape {
  readonly rows: number;
  readonly cols: number;
}

/** Widths of an operation's inputs, shapes of its parameters, and its attributes. */
export interface OperationShapes<K extends OperationKind> {
  readonly inputs: Fields<"inputs", K, number>;
  readonly parameters: Fields<"parameters", K, Shape>;
  readonly attributes: Fields<"attributes", K, number>;
}

/** Thrown by a shape rule. */
export class ShapeError extends Error {}

function expect(holds: boolean, problem: string): void {
  if (!holds) throw new ShapeError(problem);
}

function isVector({ rows, cols }: Shape, length: number): boolean {
  return rows === 1 && cols === length;
}

/** Width of the result by kind. A rule throws a ShapeError if inputs, parameters and attributes do not fit. */
export const shapeRules: { readonly [K in OperationKind]: (shapes: OperationShapes<K>) => number } = {
  embed: ({ parameters: { weight } }) => weight.cols,
  "mask-embed": ({ parameters: { embedding } }) => embedding.cols,
  enter: ({ inputs: { x }, parameters: { scale, embedding } }) => {
    expect(isVector(scale, 1), "the scale is one number");
    expect(embedding.cols === x, "the MASK embedding is as wide as x");
    return x;
  },
  join: ({ inputs: { token, mask } }) => {
    expect(token === mask, "both are of one width");
    return token;
  },
  rmsnorm: ({ inputs: { x }, parameters: { weight }, attributes: { width, epsilon } }) => {
    expect(width >= 1 && x % width === 0, "the groups divide x");
    expect(weight === undefined || isVector(weight, width), "the weight is as wide as a group");
    expect(epsilon > 0, "epsilon is above 0");
    return x;
  },
  linear: ({ inputs: { x }, parameters: { weight, bias } }) => {
    expect(weight.cols === x, "the weight has a column for each float of x");
    expect(bias === undefined || isVector(bias, weight.rows), "the bias has a float for each row of the weight");
    return weight.rows;
  },
  lora: ({ inputs: { x, y }, parameters: { a, b } }) => {
    expect(a.cols === x && b.rows === y && a.rows === b.cols, "b · (a · x) is as wide as y");
    return y;
  },
  rope: ({ inputs: { x }, attributes: { headDim } }) => {
    expect(headDim >= 2 && headDim % 2 === 0 && x % headDim === 0, "x consists of heads of an even size");
    return x;
  },
  attention: ({ inputs: { q, k, v }, attributes: { layer, nHeads, nKvHeads, headDim, window } }) => {
    expect(Number.isInteger(layer) && layer >= 0, "the layer is a whole number");
    expect(q === nHeads * headDim, "q consists of its heads");
    expect(k === nKvHeads * headDim && v === k, "k and v consist of their heads");
    expect(nKvHeads >= 1 && nHeads % nKvHeads === 0, "the heads of k and v divide those of q");
    expect(window === undefined || (Number.isInteger(window) && window >= 1), "the window is a whole number from 1");
    return q;
  },
  swiglu: ({ inputs: { gate, up } }) => {
    expect(gate === up, "both are of one width");
    return gate;
  },
  silu: ({ inputs: { x } }) => x,
  add: ({ inputs: { x, y } }) => {
    expect(x === y, "both are of one width");
    return x;
  },
  concat: ({ inputs: { x, y } }) => x + y,
  gather: ({ inputs: { x } }) => x,
  logits: ({ inputs: { x }, parameters: { weight, ids } }) => {
    expect(weight.cols === x, "the weight has a column for each float of x");
    expect(ids === undefined || ids.rows === 1, "the ids are a vector");
    return ids?.cols ?? weight.rows;
  },
};
