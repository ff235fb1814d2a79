import type { WireFigures, WireModel, WireNative, WireSpeedUp } from "../../api/wire-machine.ts";

/** The machine in a sentence. */
export function machineWords({ cpu, cores, native }: WireFigures): string {
  const processors = `${cpu}, ${cores} ${cores === 1 ? "core" : "cores"}`;
  if (native === undefined) return `${processors}, without the native backend: nothing was measured.`;
  const threads = native.threads === 1 ? "1 thread" : `${native.threads} threads${siblingWords(native)}`;
  return `${processors}; ${threads}, ${native.instructionSet}.`;
}

function siblingWords({ siblings: { reported, measured } }: WireNative): string {
  if (reported === true) return ", of which some share a core";
  return measured === true
    ? ", which compute as if they shared a core (or other programs run)"
    : " on cores of their own";
}

/** What the roofs mean for the model. */
export function roofWords({ name, bytesPerForward, productsPerRow, roofsMeetAtRows }: WireModel): string {
  const read = `${(bytesPerForward / 1e6).toFixed(0)} MB of weights`;
  const products = `${(productsPerRow / 1e6).toFixed(0)} million products`;
  return (
    `A forward of ${name} reads ${read}, whatever its number of rows, and computes ${products} per row. ` +
    `Both take equally long at ${roofsMeetAtRows.toFixed(1)} rows: with fewer, a forward waits for memory, and further rows cost ` +
    "little; with more, every row costs its share."
  );
}

/** The chart, read aloud. */
export function chartWords({ rows, roofsMeetAtRows }: WireModel): string {
  const [first, last] = [rows[0], rows.at(-1)];
  if (first === undefined || last === undefined) return "No forwards were timed.";
  const times = [first, last].map(({ rows: n, ms }) => `${ms.toFixed(2)} ms with ${n} ${n === 1 ? "row" : "rows"}`);
  return `Time of forwards by number of rows: ${times.join(", ")}. The roofs meet at ${roofsMeetAtRows.toFixed(1)} rows.`;
}

/** Speed-ups as a table: one line per number of rows, one cell per number of tokens, undefined where a forward has fewer rows. */
export function speedUpTable(speedUps: readonly WireSpeedUp[]) {
  const distinct = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b);
  const tokens = distinct(speedUps.map(({ tokensPerForward }) => tokensPerForward));
  const lines = distinct(speedUps.map(({ rows }) => rows)).map((rows) => ({
    rows,
    cells: tokens.map((count) => speedUps.find((one) => one.rows === rows && one.tokensPerForward === count)),
  }));
  return { tokens, lines };
}
