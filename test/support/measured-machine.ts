import { belowRoofs, roofsMeetAtRows, speedUps } from "../../src/bench/roofs.ts";
import type { DoctorReport } from "../../src/cli/commands/doctor.ts";
import type { WireDoctor } from "../../web/api/wire-machine.ts";

const roofs = { bandwidthGBs: 40, productsPerSecond: 2e12 };
/** 2 ms to read, 0.1 ms per row to multiply. */
const work = { bytesPerForward: 80e6, productsPerRow: 200e6 };
const times = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32].map((rows) => {
  const ms = 2.5 + 0.15 * rows;
  return { rows, ms, overOneRow: ms / 2.65 };
});
const rows = belowRoofs(roofs, work, times);

/** A made-up machine, as `idlm doctor --json` describes it. */
const figures: DoctorReport & WireDoctor["figures"] = {
  ...{ cpu: "Made-up CPU", cores: 2, node: "v20.0.0" },
  native: {
    ...{ instructionSet: "avx2", instructionSets: ["avx2", "scalar"], threads: 2, numerics: 2, ...roofs },
    oneThread: { bandwidthGBs: 24, productsPerSecond: 1e12 },
    siblings: { reported: false, measured: false },
  },
  model: {
    ...{ name: "replayed", ...work, contextTokens: 256, strides: [], rows },
    ...{ roofsMeetAtRows: roofsMeetAtRows(roofs, work), speedUps: speedUps(rows) },
  },
};

export const measuredMachine: Omit<WireDoctor, "disturbed"> = { report: "CPU  Made-up CPU, 2 cores\n", figures };
