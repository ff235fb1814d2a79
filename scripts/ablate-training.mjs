// Compares settings of `idlm train` at equal CPU time, one changed at a time, and prints a table of the held-out figures.
//
//   npm run build
//   node scripts/ablate-training.mjs MODEL --data DIR --out DIR [--cpu-seconds 200] [--held-out-rows 120]
//     [--forwards FILE] [--only NAME...] [-- OPTIONS OF IDLM TRAIN]
//
// A first run of few steps measures what a step of a setting costs in CPU time (one thread, so other programs matter
// little); the run proper has as many steps as the time allows, so that its learning rate reaches the end of its schedule.
// FILE has the times of forwards ({"entry layer": [{"nTokens", "nMasks", "ms"}]}) for predictions on an idle machine. What
// is finished is not repeated, so that the command can be stopped and run again.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

/** Changes to the base settings. Those without a cost of their own take as long as the base settings. */
const variants = {
  base: { cost: true },
  "learning rate 2e-3": { learningRate: 2e-3 },
  "learning rate 5e-4": { learningRate: 5e-4 },
  "batch 64": { batchRows: 64, cost: true },
  "batch 128": { batchRows: 128, cost: true },
  "loss kl": { loss: "kl" },
  "entry layer 10": { entryLayer: 10, cost: true },
  "entry layer 0": { entryLayer: 0, cost: true },
  "entry layer 25": { entryLayer: 25, cost: true },
  "rank 64": { rank: 64, alpha: 256, cost: true },
  "rank 16": { rank: 16, alpha: 64, cost: true },
  "alpha / rank 16": { alpha: 512 },
  "alpha / rank 1": { alpha: 32 },
  "loss annealed": { loss: "annealed" },
  "loss tv": { loss: "tv" },
  "2 masks": { masks: 2, cost: true },
  "4 masks": { masks: 4, cost: true },
  "draft vocabulary 8192": { draftVocabulary: 8192, cost: true },
  "draft vocabulary 24576": { draftVocabulary: 24_576, cost: true },
  "round starts 0": { roundStarts: 0 },
  "round starts 1": { roundStarts: 1 },
  "visits 4": { visits: 4, cost: true },
  "visits 16": { visits: 16, cost: true },
  "first miss": { firstMiss: true },
  "depth weights 1, .7, .5": { depthWeights: "1,0.7,0.5" },
  "mask curriculum .3": { maskCurriculum: 0.3, cost: true },
  "another seed": { seed: 1 },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    out: { type: "string" },
    "cpu-seconds": { type: "string", default: "200" },
    "held-out-rows": { type: "string", default: "120" },
    forwards: { type: "string" },
    only: { type: "string", multiple: true },
  },
});
const [model, ...base] = positionals;
if (model === undefined || values.data === undefined || values.out === undefined) {
  console.error("usage: node scripts/ablate-training.mjs MODEL --data DIR --out DIR [-- OPTIONS]");
  process.exit(2);
}
const COST_STEPS = 40;
const main = join(import.meta.dirname, "../dist/cli/main.js");
mkdirSync(values.out, { recursive: true });
const costs = {};
for (const [name, { cost, ...changes }] of Object.entries(variants)) {
  if (values.only !== undefined && !values.only.includes(name)) continue;
  const folder = join(values.out, name.replaceAll(/[^a-z0-9-]+/g, "_"));
  const report = join(folder, "ablation.json");
  if (!existsSync(report)) {
    mkdirSync(folder, { recursive: true });
    const options = Object.entries(changes).flatMap(([key, value]) => [
      `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
      String(value),
    ]);
    // A flag has no value.
    const args = [...base, ...options.filter((word) => word !== "true")];
    const key = cost === true ? name : "base";
    costs[key] ??= await secondsPerStep(folder, cost === true ? args : base);
    const steps = Math.max(1, Math.round(Number(values["cpu-seconds"]) / costs[key]));
    const out = join(folder, "run");
    seedForwards(out, Number(changes.entryLayer ?? 20));
    const heldOut = ["--held-out-rows", values["held-out-rows"]];
    await train(out, ["--quiet", "--steps", String(steps), "--checkpoint-every", "1000000", ...heldOut, ...args]);
    const [entry] = readLog(out).slice(-1);
    writeFileSync(report, JSON.stringify({ name, args, steps, secondsPerStep: costs[key], entry }));
  }
  print(JSON.parse(readFileSync(report, "utf8")));
}

/** CPU time of a step, from a run that is ended after some. */
async function secondsPerStep(folder, args) {
  const out = join(folder, "cost");
  rmSync(out, { recursive: true, force: true });
  seedForwards(out, 20);
  const child = start(out, ["--steps", "1000000", "--held-out-rows", "0", "--json", ...args]);
  const times = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (JSON.parse(line).kind === "step") times.push(cpuSeconds(child.pid));
    if (times.length > COST_STEPS / 10) break;
  }
  child.kill("SIGKILL");
  if (times.length < 2) throw new Error(`${out}: ended early`);
  rmSync(out, { recursive: true, force: true });
  // The first event comes after ten steps, so that loading does not count.
  return (times.at(-1) - times[0]) / COST_STEPS;
}

/** Of a process, by Linux. */
function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function train(out, args) {
  const child = start(out, args);
  child.stdout.resume();
  const status = await new Promise((resolve) => child.on("close", resolve));
  if (status !== 0) throw new Error(`${out}: training ended with ${status}`);
}

function start(out, args) {
  const command = [main, "train", model, "--data", values.data, "--out", out, "--threads", "1", ...args];
  return spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
}

/** A run that is begun with a log takes the times of forwards from it. */
function seedForwards(out, entryLayer) {
  if (values.forwards === undefined) return;
  const forwards = JSON.parse(readFileSync(values.forwards, "utf8"))[entryLayer];
  if (forwards === undefined) return;
  mkdirSync(join(out, "checkpoints"), { recursive: true });
  const entry = { step: 0, positions: 0, elapsedMs: 0, loss: 0, forwards };
  writeFileSync(join(out, "checkpoints", "log.jsonl"), `${JSON.stringify(entry)}\n`);
}

function readLog(out) {
  const text = readFileSync(join(out, "checkpoints", "log.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

function print({ name, steps, secondsPerStep: cost, entry }) {
  const { evaluation, positions } = entry;
  const depths = (figures) => figures.map((x) => x.toFixed(3).replace(/^0/, "")).join(" / ");
  const { predicted } = evaluation;
  const speed = predicted && (predicted.tokensPerSecond / predicted.plainTokensPerSecond).toFixed(3);
  console.log(
    `| ${name} | ${steps} | ${Math.round(positions / 1000)} k | ${Math.round(positions / steps / cost)} | ` +
      `${depths(evaluation.survivalOfArgmax)} | ${depths(evaluation.survival)} | ${depths(evaluation.overlap)} | ` +
      `${predicted ? `${predicted.form} ${predicted.length}: ${predicted.tokensPerForward.toFixed(3)}, ${speed}` : ""} |`,
  );
}
