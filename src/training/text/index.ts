export type { TextOutcome } from "./row.ts";
export type { TextManifest } from "./text-manifest.ts";
export type { TextTotals } from "./text-totals.ts";
export { writeText } from "./write-text.ts";
