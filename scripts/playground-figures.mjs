/**
 * Prints figures of the playground on standard error (npm run bench). Needs Chromium, and for the cost of records the model
 * and Linux. --turns N: streams with and without records.
 */
import { parseArgs } from "node:util";
import { runnerImport } from "vite";

const load = async (path) => (await runnerImport(path, { configFile: false, logLevel: "error" })).module;
const { hasChromium } = await load("./test/support/browser.ts");
const { pageFigures, recordCosts } = await load("./test/support/playground-figures.ts");

const { values: options } = parseArgs({ options: { turns: { type: "string", default: "30" } } });
console.error("playground");
if (hasChromium) {
  const { firstPaintMs, framesPerSecond, slowFrameMs } = await pageFigures();
  console.error(`  first paint ${firstPaintMs.toFixed(0)} ms (goal: under 200)`);
  const frames = `${framesPerSecond.toFixed(1)} frames/s while 300 tokens/s are replayed (goal: 60)`;
  console.error(`  ${frames}; 99 % of frames within ${slowFrameMs.toFixed(1)} ms`);
}
try {
  const { rounds, page } = await recordCosts(Number(options.turns));
  const percent = (ratio) => `${((ratio - 1) * 100).toFixed(1)} %`;
  const interval = ({ median, low, high }) => `${percent(median)} (95 %: ${percent(low)} to ${percent(high)})`;
  for (const [what, { time, cpu }] of Object.entries({ rounds, "rounds and log-probabilities": page })) {
    console.error(`  streams with ${what} take ${interval(time)} more time, ${interval(cpu)} more CPU time`);
  }
  console.error("  (goal for rounds: under 2 %)");
} catch (error) {
  console.error(`  the cost of records was not measured: ${error instanceof Error ? error.message : error}`);
}
