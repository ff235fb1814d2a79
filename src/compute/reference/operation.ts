import type { BackwardOperation } from "../gradients/backward-list.ts";
import type { Operation, OperationKind, RowSet } from "../program/operations.ts";
import type { Rope } from "../program/program.ts";
import type { ReferenceCache } from "./reference-cache.ts";

export type Floats = Float32Array;

/** Row-major [rows, cols]. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly values: Float32Array;
}

/** The state of operations: the values of a run of a list, its rows, and the parameters. */
export interface Run {
  /** Rows of a set, in the order of the forest's layout. */
  rows(set: RowSet): readonly number[];
  read(value: string, row: number): Floats;
  write(value: string, row: number, floats: Floats): void;
  parameter(id: string): Matrix;
  /** A parameter of ids. */
  ids(id: string): Int32Array;
  /** The row's token; in a head the previous one. */
  token(row: number): number;
  position(row: number): number;
  /** Of a MASK row: MASK rows from its anchor down, itself included. */
  depth(row: number): number;
  /** Of a MASK row: the token row that its run hangs off. */
  anchor(row: number): number;
  isGated(row: number): boolean;
  /** Addresses in the cache of the slots that the row attends to, in order: cached positions, its ancestors, itself. */
  visible(row: number): readonly number[];
  readonly cache: ReferenceCache;
  readonly rope: Rope;
}

/** Gradients of one run of a list, beside its values. All sums are in float64. */
export interface GradientRun {
  /** The run of the forward, whose values are kept. */
  readonly forward: Run;
  /** Gradient of a value's row; undefined: no contribution. */
  gradient(value: string, row: number): Float64Array | undefined;
  add(value: string, row: number, gradient: Float64Array): void;
  /** Of a parameter, row-major: to be added to. */
  parameterGradient(id: string): Float64Array;
  /** The row whose K and V are at an address of the cache; undefined: not a row of this run. */
  rowAt(place: number): number | undefined;
}

/** One kind of operation, row by row, beside its gradient. ../program/operations.ts describes the kinds. */
export interface ReferenceOperation<K extends OperationKind> {
  forward(operation: Operation<K>, run: Run): void;
  /** Adds the gradients, from that of the result (`dy` below). */
  gradient(operation: BackwardOperation<K>, run: GradientRun): void;
}

/** Operations of all kinds K. */
export type ReferenceOperations<K extends OperationKind> = { readonly [Kind in K]: ReferenceOperation<Kind> };
