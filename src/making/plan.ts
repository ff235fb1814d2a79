import { trainingDefaults } from "../training/settings.ts";
import type { StageName } from "./stages.ts";

/** Speeds of a machine with a model. */
export interface MeasuredSpeeds {
  /** Tokens of training text per second. */
  readonly writeTokensPerSecond: number;
  /** MASK rows trained per second. */
  readonly trainRowsPerSecond: number;
  /** Tokens per second of plain decoding of one sequence. */
  readonly plainTokensPerSecond: number;
}

/** What a make will do, and how long each stage may take. */
export interface Plan {
  readonly seconds: Readonly<Record<StageName, number>>;
  /** Most answer tokens of training text. */
  readonly writeTokens: number;
  /** Settings that are compared; below two none are. */
  readonly variants: number;
  /** MASK rows that the training is expected to see. */
  readonly trainRows: number;
}

/**
 * Shares of the hours. Text and training are balanced so that each sequence is used about twice: more text raises
 * acceptance more than more epochs do.
 */
const WRITE_SHARE = 0.35;
const SETTINGS_SHARE = 0.1;
/** Of verification and of measuring, each. */
const CHECK_SHARE = 0.04;
/** More adds no certainty. */
const MAX_CHECK_SECONDS = 600;
/** Training has at least this share, whatever the other stages took. */
const LEAST_TRAIN_SHARE = 0.25;

/** Training needs some rows, however little time there is; most have 100 to 384 tokens. */
const LEAST_TOKENS = 20_000;

/** Settings that can be compared. */
const MAX_VARIANTS = 4;
/** Planned steps of a variant: fewer say little. */
export const LEAST_VARIANT_STEPS = 150;

/** Splits the hours by fixed shares; what the stages before training leave over, training gets. */
export function makePlan(hours: number, machineSeconds: number, speeds: MeasuredSpeeds): Plan {
  const all = hours * 3600;
  const variantSeconds = (LEAST_VARIANT_STEPS * trainingDefaults.batchRows) / speeds.trainRowsPerSecond;
  const fitting = Math.min(MAX_VARIANTS, Math.floor((all * SETTINGS_SHARE) / variantSeconds));
  const variants = fitting < 2 ? 0 : fitting;
  const write = all * WRITE_SHARE;
  const settings = variants === 0 ? 0 : all * SETTINGS_SHARE;
  const check = Math.min(MAX_CHECK_SECONDS, all * CHECK_SHARE);
  const train = Math.max(all * LEAST_TRAIN_SHARE, all - machineSeconds - write - settings - 2 * check);
  return {
    seconds: { machine: machineSeconds, write, settings, train, verify: check, bench: check },
    writeTokens: roundedTokens(write * speeds.writeTokensPerSecond),
    variants,
    trainRows: Math.round(train * speeds.trainRowsPerSecond),
  };
}

/** Time for training: what is left of the hours after the work so far, without the stages after it. */
export function trainSeconds(hours: number, workedSeconds: number, { seconds }: Plan): number {
  const all = hours * 3600;
  return Math.max(all * LEAST_TRAIN_SHARE, all - workedSeconds - seconds.verify - seconds.bench);
}

/** Two digits, since the speed is an estimate. */
function roundedTokens(tokens: number): number {
  return Math.max(LEAST_TOKENS, Number(tokens.toPrecision(2)));
}
