// Prints figures of the playground on standard error (npm run bench). Needs Chromium, and for the cost of records the model.
import { runnerImport } from "vite";

const load = async (path) => (await runnerImport(path, { configFile: false, logLevel: "error" })).module;
const { hasChromium } = await load("./test/support/browser.ts");
const { pageFigures, roundsCost } = await load("./test/support/playground-figures.ts");

console.error("playground");
if (hasChromium) {
  const { firstPaintMs, framesPerSecond, slowFrameMs } = await pageFigures();
  console.error(`  first paint ${firstPaintMs.toFixed(0)} ms (goal: under 200)`);
  const frames = `${framesPerSecond.toFixed(1)} frames/s while 300 tokens/s are replayed (goal: 60)`;
  console.error(`  ${frames}; 99 % of frames within ${slowFrameMs.toFixed(1)} ms`);
}
try {
  const { median, low, high } = await roundsCost();
  const percent = (ratio) => `${((ratio - 1) * 100).toFixed(1)} %`;
  console.error(
    `  streaming with rounds takes ${percent(median)} longer (${percent(low)} to ${percent(high)}; goal: under 2)`,
  );
} catch (error) {
  console.error(`  the cost of rounds was not measured: ${error instanceof Error ? error.message : error}`);
}
