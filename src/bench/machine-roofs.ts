import type { LoadedModel } from "../compute/loaded-model.ts";
import { createNativeBackend, type NativeBackend } from "../compute/native/index.ts";
import { siblingThreads } from "./cores.ts";
import { type ForwardTimes, measureForwards, type TimingOptions } from "./forward-times.ts";
import {
  belowRoofs,
  type ForwardWork,
  forwardWork,
  measureRoofs,
  type Roofs,
  type RowsBelowRoofs,
  roofsMeetAtRows,
  type SpeedUp,
  speedUps,
} from "./roofs.ts";

/** The roofs of a machine with all threads, and with one. */
export interface MachineRoofs extends Roofs {
  readonly threads: number;
  readonly oneThread: Roofs;
  /** Whether two of the threads have to share a core. */
  readonly siblings: Siblings;
}

export interface Siblings {
  /** By what the system says of its processors; undefined where it does not say. A virtual machine may not know. */
  readonly reported?: boolean;
  /** By what all threads compute together, in place of so many times one; undefined for one thread. */
  readonly measured?: boolean;
}

/** The roofs of a model's forwards, beside what these take. */
export interface ModelRoofs extends ForwardWork, Omit<ForwardTimes, "rows"> {
  readonly roofsMeetAtRows: number;
  readonly rows: readonly RowsBelowRoofs[];
  readonly speedUps: readonly SpeedUp[];
}

/** What `idlm bench` reports. */
export interface BenchRoofs extends MachineRoofs {
  readonly model: ModelRoofs;
}

/** Two threads of one core share its arithmetic units; two cores have twice the arithmetic, disturbances aside. */
const OWN_CORES_SHARE = 0.75;

/** Measures the machine, within some seconds. */
export async function measureMachineRoofs(backend: NativeBackend): Promise<MachineRoofs> {
  const { threads, instructionSet } = backend.info;
  const all = await measureRoofs(backend);
  const single = instructionSet === "typescript" ? {} : { instructionSet };
  const oneThread = threads === 1 ? all : await measureRoofs(createNativeBackend({ threads: 1, ...single }));
  const reported = siblingThreads(threads);
  const share = all.productsPerSecond / (threads * oneThread.productsPerSecond);
  return {
    ...{ threads, ...all, oneThread },
    siblings: {
      ...(reported !== undefined && { reported }),
      ...(threads > 1 && { measured: share < OWN_CORES_SHARE }),
    },
  };
}

/** Times a model's forwards. `plain`: the same model without its adapter, if it has one. */
export async function measureModelRoofs(
  roofs: Roofs,
  model: LoadedModel,
  plain: LoadedModel,
  options: TimingOptions,
): Promise<ModelRoofs> {
  const work = forwardWork(plain);
  const { rows: times, ...others } = await measureForwards(model, options);
  const rows = belowRoofs(roofs, work, times);
  return { ...work, roofsMeetAtRows: roofsMeetAtRows(roofs, work), ...others, rows, speedUps: speedUps(rows) };
}

/** The machine's roofs and forwards of a model without an adapter. */
export async function measureBenchRoofs(
  backend: NativeBackend,
  model: LoadedModel,
  { rounds, signal, onStage }: BenchRoofsOptions,
): Promise<BenchRoofs> {
  onStage("memory and arithmetic");
  const machine = await measureMachineRoofs(backend);
  const onRound = (round: number, of: number) => onStage(`forwards of 1 to 32 rows: round ${round} of ${of}`);
  const options = { ...(rounds !== undefined && { rounds }), signal, onRound };
  return { ...machine, model: await measureModelRoofs(machine, model, model, options) };
}

interface BenchRoofsOptions {
  readonly rounds?: number;
  readonly signal: AbortSignal;
  readonly onStage: (text: string) => void;
}
