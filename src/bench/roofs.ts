import type { LoadedModel } from "../compute/loaded-model.ts";
import type { NativeBackend } from "../compute/native/index.ts";
import { tokenMatrices } from "../compute/program/program.ts";
import { byteLength } from "../formats/tensor/tensor-type.ts";
import type { RowTime } from "./forward-times.ts";

/** What bounds every forward: weights are read once, and multiplied once per row. */
export interface Roofs {
  /** Of reading memory. */
  readonly bandwidthGBs: number;
  /** 8-bit products out of registers, by the instructions that the kernels use. */
  readonly productsPerSecond: number;
}

/** The work of a forward. */
export interface ForwardWork {
  /** Weights that a forward of any number of rows reads. */
  readonly bytesPerForward: number;
  /** Multiplications of weights per row. */
  readonly productsPerRow: number;
}

/** A forward below the roofs. Times in milliseconds. */
export interface RowsBelowRoofs extends RowTime {
  readonly readMs: number;
  readonly computeMs: number;
  /** The larger of both: no forward of these rows takes less. */
  readonly roofMs: number;
  /** roofMs / ms */
  readonly shareOfRoof: number;
  /** Relative to the roofs of one row. */
  readonly roofOverOneRow: number;
}

/** Speed relative to plain decoding if forwards of `rows` rows yield this many tokens. */
export interface SpeedUp {
  readonly tokensPerForward: number;
  readonly rows: number;
  /** By the measured times: tokens per forward × time of one row / time of these rows. */
  readonly measured: number;
  /** The same with the roofs in place of times. */
  readonly byRoofs: number;
}

/** Larger than any last-level cache, so that memory is measured. */
export const BANDWIDTH_BYTES = 512 * 2 ** 20;

/** Measures with all threads of the backend. */
export async function measureRoofs(backend: NativeBackend): Promise<Roofs> {
  const bandwidthGBs = await backend.measureBandwidth(BANDWIDTH_BYTES);
  return { bandwidthGBs, productsPerSecond: await backend.measureArithmetic() };
}

/** The work of a model's forwards; of one without an adapter. Of an untied embedding, one row is read: it does not count. */
export function forwardWork({ program, weightBytes }: LoadedModel): ForwardWork {
  const { embedding, output } = tokenMatrices(program);
  const unread = embedding === output ? undefined : program.parameters[embedding];
  const unreadBytes = unread === undefined ? 0 : (byteLength(unread.type, unread.rows * unread.cols) ?? 0);
  const matrices = Object.values(program.parameters).filter((one) => one.rows > 1 && one !== unread);
  return {
    bytesPerForward: weightBytes - unreadBytes,
    productsPerRow: matrices.reduce((sum, { rows, cols }) => sum + rows * cols, 0),
  };
}

/** Milliseconds that reading and arithmetic take at least. */
export function roofTimes(
  { bandwidthGBs, productsPerSecond }: Roofs,
  { bytesPerForward, productsPerRow }: ForwardWork,
  rows: number,
): Pick<RowsBelowRoofs, "readMs" | "computeMs" | "roofMs"> {
  const readMs = bytesPerForward / bandwidthGBs / 1e6;
  const computeMs = (1000 * rows * productsPerRow) / productsPerSecond;
  return { readMs, computeMs, roofMs: Math.max(readMs, computeMs) };
}

/** Number of rows from which on arithmetic takes longer than reading the weights. */
export function roofsMeetAtRows(roofs: Roofs, work: ForwardWork): number {
  const { readMs, computeMs } = roofTimes(roofs, work, 1);
  return readMs / computeMs;
}

/** Measured times beside the roofs. */
export function belowRoofs(roofs: Roofs, work: ForwardWork, times: readonly RowTime[]): RowsBelowRoofs[] {
  const one = roofTimes(roofs, work, 1).roofMs;
  return times.map((time) => {
    const bounds = roofTimes(roofs, work, time.rows);
    return { ...time, ...bounds, shareOfRoof: bounds.roofMs / time.ms, roofOverOneRow: bounds.roofMs / one };
  });
}

/** Tokens per forward of the speed-ups that are reported. */
const TOKENS_PER_FORWARD = [1.25, 1.5, 2, 3, 4, 8];
/** Numbers of rows of these. */
const SPEED_UP_ROWS = [2, 3, 4, 6, 8, 16, 32];

/** Speed-ups by tokens per forward and rows. A forward yields no more tokens than it has rows. */
export function speedUps(rows: readonly RowsBelowRoofs[]): SpeedUp[] {
  return rows
    .filter(({ rows: n }) => SPEED_UP_ROWS.includes(n))
    .flatMap(({ rows: n, overOneRow, roofOverOneRow }) =>
      TOKENS_PER_FORWARD.filter((tokens) => tokens <= n).map((tokensPerForward) => ({
        ...{ tokensPerForward, rows: n },
        measured: tokensPerForward / overOneRow,
        byRoofs: tokensPerForward / roofOverOneRow,
      })),
    );
}
