/** Where a token came from: how it is named, explained and coloured (`--source-KEY` in the styles). */
export interface Source {
  readonly key: string;
  readonly label: string;
  /** Where there is little room, if the label is long. */
  readonly short?: string;
  readonly explanation: string;
}

/** Depths of MASK rows with a colour of their own; deeper ones share the last. */
const MASK_COLOURS = 3;

const known: readonly Source[] = [
  { key: "drawn", label: "drawn", explanation: "drawn by the base model, as in plain decoding" },
  { key: "mask-1", label: "MASK 1", explanation: "proposed by the MASK row at depth 1, then verified" },
  { key: "mask-2", label: "MASK 2", explanation: "proposed by the MASK row at depth 2, then verified" },
  { key: "mask-3", label: "MASK 3+", explanation: "proposed by a MASK row at depth 3 or deeper, then verified" },
  { key: "lookup", label: "prompt lookup", short: "lookup", explanation: "copied from earlier text, then verified" },
  {
    key: "predicted",
    label: "predicted output",
    short: "predicted",
    explanation: "taken from the predicted output, then verified",
  },
  { key: "draft", label: "draft model", short: "draft", explanation: "proposed by a smaller model, then verified" },
  { key: "medusa", label: "Medusa heads", short: "Medusa", explanation: "proposed by extra heads, then verified" },
  { key: "grammar", label: "grammar", explanation: "the only text that the grammar allows here, then verified" },
];

const byKey = new Map(known.map((source) => [source.key, source]));

/** In the order of legends. */
export const sourceKeys: readonly string[] = known.map(({ key }) => key);

/** The colour's key of a token or proposal. */
export function sourceKey(source: string, depth: number): string {
  return source === "mask" ? `mask-${Math.min(Math.max(depth, 1), MASK_COLOURS)}` : source;
}

export function sourceOf(key: string): Source {
  return byKey.get(key) ?? { key: "other", label: key, explanation: `proposed by ${key}, then verified` };
}
