/** What the MASK run below one verified token proposes, on all paths through its candidates and along the text. */
export interface MaskNode {
  /** Best first. */
  readonly tokens: readonly number[];
  readonly confidences: readonly number[];
  /** What follows each of `tokens`, then what follows the text's own token if it is none of them. */
  readonly next: readonly MaskNode[];
}

/** A recorded generation: everything that any choice of rounds could have been offered, and what was drawn. */
export interface RecordedGeneration {
  readonly kind: string;
  /** Token ids. */
  readonly prompt: readonly number[];
  readonly output: readonly number[];
  /** Predicted output; empty: none. */
  readonly predicted: readonly number[];
  /** For each token of the output while it is pending: proposals from the MASK run below the token before it. */
  readonly masks: readonly MaskNode[];
}

/** Measured time of a forward. */
export interface TimedRows {
  readonly tokens: number;
  readonly masks: number;
  readonly ms: number;
}

/** First line of a trace file; a RecordedGeneration follows on every further line. */
export interface TraceHeader {
  readonly model: string;
  readonly adapter: string;
  readonly cpu: string;
  readonly instructionSet: string;
  readonly threads: number;
  /** Longest MASK run. */
  readonly maxRun: number;
  /** Share of the layers that a MASK row passes through. */
  readonly maskShare: number;
  readonly times: readonly TimedRows[];
}

export interface Trace extends TraceHeader {
  readonly generations: readonly RecordedGeneration[];
}

/** Reads the lines of a trace file. */
export function parseTrace(text: string): Trace {
  const [header = "", ...lines] = text.trim().split("\n");
  return {
    ...(JSON.parse(header) as TraceHeader),
    generations: lines.map((line) => JSON.parse(line) as RecordedGeneration),
  };
}
