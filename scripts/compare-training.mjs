// Compares native training steps with PyTorch's on the same batches, from the same adapter.
//
//   node scripts/compare-training.mjs speed    MASK rows per second, in blocks of ten steps by turns
//   node scripts/compare-training.mjs loss     loss curves over --steps, with integer and with float backward products
//   node scripts/compare-training.mjs backward loss curves of integer and float backward products alone
//
// The peer is torch_train.py; its options --python, --peer and --texts say where it is. Texts are lines
// {"prompt_ids": [...], "response_ids": [...]}.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "tsdown";

const root = join(import.meta.dirname, "..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    base: { type: "string" },
    python: { type: "string", default: "python3" },
    peer: { type: "string", default: join(root, "../shared/peers/torch_train.py") },
    texts: { type: "string", default: join(root, "../shared/pilot/train.jsonl") },
    "entry-layer": { type: "string", default: "20" },
    masks: { type: "string", default: "2" },
    rows: { type: "string", default: "256" },
    "draft-vocabulary": { type: "string", default: "6327" },
    cycles: { type: "string", default: "6" },
    steps: { type: "string", default: "200" },
    threads: { type: "string", default: "2" },
    dtypes: { type: "string", default: "float32,bfloat16" },
  },
});
const [mode] = positionals;
if (!["speed", "loss", "backward"].includes(mode) || values.base === undefined) {
  console.error("usage: node scripts/compare-training.mjs speed|loss|backward --base FILE.gguf [--python PYTHON] ...");
  process.exit(2);
}
const BLOCK = 10;
const SEQUENCES = 4;
const PEAK_RATE = 1e-3;
const masks = Number(values.masks);
const folder = mkdtempSync(join(tmpdir(), "idlm-compare-"));
/** Processes that still run. */
const children = new Set();
try {
  const idlm = await bundle();
  const nTexts = { speed: 16, loss: 64, backward: 320 }[mode];
  const texts = readTexts(nTexts);
  const textFile = join(folder, "texts.jsonl");
  writeFileSync(textFile, texts.map(({ line }) => `${line}\n`).join(""));
  const adapter = join(folder, "adapter");
  const peerOptions = ["--masks", values.masks, "--entry-layer", values["entry-layer"], "--threads", values.threads];
  peerOptions.push("--draft-vocabulary", values["draft-vocabulary"]);
  await finished(peer(textFile, adapter, ["--steps", "0", ...peerOptions]));
  await { speed, loss, backward }[mode]({ idlm, texts, textFile, adapter });
} finally {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}

async function speed({ idlm, texts, textFile, adapter }) {
  const steps = Number(values.cycles) * BLOCK;
  const batches = chooseBatches(texts, steps);
  const native = await startNative(idlm, texts, adapter, steps, "integer");
  const sides = values.dtypes.split(",").map((dtype) => {
    const session = startPeer(textFile, adapter, steps, dtype);
    return { name: `PyTorch ${dtype}`, run: (from) => session.block(batches, from) };
  });
  // Last, so that no peer is still loading meanwhile.
  sides.push({ name: "native", run: (from) => native.block(batches, from) });
  const rates = sides.map(() => []);
  for (let from = 0; from < steps; from += BLOCK) {
    for (const [i, side] of sides.entries()) rates[i].push(await side.run(from));
    console.error(sides.map(({ name }, i) => `${name} ${rates[i].at(-1).rate.toFixed(0)}`).join(", "));
  }
  const [{ model }] = cpus();
  console.log(
    `${model}, ${values.threads} threads; entry layer ${values["entry-layer"]}, ${values.masks} MASKs, ` +
      `${values.rows} rows a step, ${values["draft-vocabulary"]} draft ids; ${values.cycles} blocks of ${BLOCK} steps each\n`,
  );
  console.log(
    "| | MASK rows/s, clean rows kept | native ÷ it | first block, with clean rows | native ÷ it |\n|---|---|---|---|---|",
  );
  for (const [i, { name }] of sides.entries()) {
    const warm = rates[i].slice(1).map(({ rate }) => rate);
    const ratios = warm.map((rate, cycle) => rates.at(-1)[cycle + 1].rate / rate);
    const [low, high] = [quantile(ratios, 0), quantile(ratios, 1)];
    const first = rates[i][0].withClean;
    console.log(
      `| ${name} | ${quantile(warm, 0.5).toFixed(0)} | ${quantile(ratios, 0.5).toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)}) | ` +
        `${first.toFixed(0)} | ${(rates.at(-1)[0].withClean / first).toFixed(2)} |`,
    );
  }
  const macs = productsPerRow(idlm, adapter);
  const rate = quantile(
    rates
      .at(-1)
      .slice(1)
      .map(({ rate: one }) => one),
    0.5,
  );
  console.log(
    `\nProducts of weights per row: ${(macs / 1e6).toFixed(1)} million; native: ${((rate * macs) / 1e9).toFixed(0)} · 10⁹ per second`,
  );
  console.log(`Resident: native ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB at most`);
}

async function loss({ idlm, texts, textFile, adapter }) {
  const steps = Number(values.steps);
  const batches = chooseBatches(texts, steps);
  const session = startPeer(textFile, adapter, steps, "float32");
  const curves = { peer: [], integer: [], float: [] };
  for (const name of ["integer", "float"]) {
    const native = await startNative(idlm, texts, adapter, steps, name);
    for (let from = 0; from < steps; from += BLOCK) curves[name].push((await native.block(batches, from)).loss);
    native.model.dispose();
  }
  for (let from = 0; from < steps; from += BLOCK) curves.peer.push((await session.block(batches, from)).loss);
  console.log(
    "| steps | PyTorch | native | difference | native, float backward | difference |\n|---|---|---|---|---|---|",
  );
  report(curves.peer, [curves.integer, curves.float], 2);
}

async function backward({ idlm, texts, adapter }) {
  const steps = Number(values.steps);
  const batches = chooseBatches(texts, steps);
  const curves = { integer: [], float: [] };
  for (const name of ["integer", "float"]) {
    const native = await startNative(idlm, texts, adapter, steps, name);
    for (let from = 0; from < steps; from += BLOCK) {
      curves[name].push((await native.block(batches, from)).loss);
      if ((from + BLOCK) % 100 === 0) console.error(`${name} ${from + BLOCK}: ${curves[name].at(-1).toFixed(4)}`);
    }
    native.model.dispose();
  }
  console.log("| steps | float backward | integer backward | difference |\n|---|---|---|---|");
  report(curves.float, [curves.integer], 10);
}

/** Means over `nBlocks` blocks each, and their differences from the first curve. */
function report(first, others, nBlocks) {
  const percent = (a, b) => `${((a / b - 1) * 100).toFixed(2)} %`;
  const worst = others.map(() => [0, 0]);
  for (let from = 0; from < first.length; from += nBlocks) {
    const mean = (curve) => average(curve.slice(from, from + nBlocks));
    const cells = others.flatMap((curve) => [mean(curve).toFixed(4), percent(mean(curve), mean(first))]);
    console.log(
      `| ${from * BLOCK + 1}–${(from + nBlocks) * BLOCK} | ${mean(first).toFixed(4)} | ${cells.join(" | ")} |`,
    );
    others.forEach((curve, i) => {
      worst[i][0] = Math.max(worst[i][0], Math.abs(mean(curve) / mean(first) - 1));
      for (let block = from; block < from + nBlocks && block < first.length; block++) {
        worst[i][1] = Math.max(worst[i][1], Math.abs(curve[block] / first[block] - 1));
      }
    });
  }
  others.forEach((curve, i) => {
    const all = percent(average(curve), average(first));
    const [means, blocks] = worst[i].map((x) => `${(x * 100).toFixed(2)} %`);
    console.log(
      `curve ${i + 2}: ${all} over all steps; largest difference ${means} of a mean above, ${blocks} of ten steps`,
    );
  });
}

async function bundle() {
  const modules = {
    native: "compute/native/index",
    adapter: "formats/adapter/adapter",
    compile: "model/compile",
    open: "model/open/open-model",
    adamw: "compute/gradients/adamw",
    rate: "training/learning-rate",
    sha256: "formats/files/sha256",
  };
  const entry = Object.fromEntries(Object.entries(modules).map(([name, path]) => [name, join(root, `src/${path}.ts`)]));
  // Beside the addon, which is found from the module's own place.
  const outDir = mkdtempSync(join(root, "dist", "compare-"));
  try {
    await build({
      config: false,
      cwd: root,
      entry,
      outDir,
      format: "esm",
      platform: "node",
      dts: false,
      logLevel: "error",
    });
    const loaded = {};
    for (const name of Object.keys(modules))
      Object.assign(loaded, await import(pathToFileURL(join(outDir, `${name}.mjs`)).href));
    return loaded;
  } finally {
    rmSync(outDir, { recursive: true, force: true });
  }
}

async function startNative(idlm, texts, adapter, steps, backwardProducts) {
  const backend = idlm.createNativeBackend({ threads: Number(values.threads) });
  const program = idlm.compileProgram(idlm.openModel(values.base, "gguf"), {
    adapter: idlm.readAdapter(adapter),
    modelSha256: await idlm.sha256File(values.base),
  });
  const model = await backend.loadGated(program, { backward: backwardProducts });
  const lossSettings = { mixture: { log_overlap: 1 }, depthWeights: Array(masks).fill(1), firstMiss: false };
  const trained = Object.entries(program.parameters)
    .filter(([, { isTrainable }]) => isTrainable)
    .map(([id, { bytes }]) => {
      const initial = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4).slice();
      return [id, { values: initial, ...idlm.newMoments(initial.length), weightDecay: 0 }];
    });
  const block = async (batches, from) => {
    let [rows, lossSum, ms] = [0, 0, 0];
    for (let step = from; step < from + BLOCK; step++) {
      const sequences = batches[step].map(([key, anchors]) => {
        return { key, tokens: texts[key].tokens, anchors: Int32Array.from(anchors) };
      });
      const startMs = performance.now();
      const result = await model.step({ sequences, nMasks: masks }, lossSettings, true);
      const learningRate = PEAK_RATE * idlm.learningRateFactor(step / steps, (step + 1) / steps);
      const tensors = new Map(trained.map(([id, state]) => [id, { ...state, gradient: result.gradients.get(id) }]));
      const factor = idlm.clippingFactor(result.gradientNorm);
      await model.update(tensors, { ...idlm.adamWDefaults, learningRate, factor, step: step + 1 });
      ms += performance.now() - startMs;
      rows += result.rowLosses.length;
      lossSum += result.loss;
    }
    const rate = (1000 * rows) / ms;
    return { rate, withClean: rate, loss: lossSum / BLOCK };
  };
  return { model, block };
}

/** A process that trains on the batches it reads, and reports every tenth step. */
function startPeer(textFile, adapter, steps, dtype) {
  const out = join(folder, dtype);
  const options = ["--init", adapter, "--steps", String(steps), "--dtype", dtype, "--batches", "/dev/stdin"];
  const child = peer(textFile, out, [...options, "--threads", values.threads, "--lr", String(PEAK_RATE)]);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const block = async (batches, from) => {
    for (const batch of batches.slice(from, from + BLOCK)) child.stdin.write(`${JSON.stringify(batch)}\n`);
    const { value } = await lines.next();
    if (value === undefined) throw new Error("the peer has ended");
    const { loss: mean, positions_per_s: rate, positions_per_s_with_clean: withClean } = JSON.parse(value);
    return { loss: mean, rate, withClean };
  };
  return { block };
}

function peer(textFile, out, options) {
  // Node's pipes are sockets, which nothing can open as /dev/stdin.
  const command = ["-c", 'cat | exec "$0" "$@"', values.python, values.peer, values.base, textFile, out, ...options];
  const child = spawn("sh", command, { stdio: ["pipe", "pipe", "inherit"] });
  children.add(child);
  child.on("close", () => children.delete(child));
  return child;
}

async function finished(child) {
  child.stdin.end();
  child.stdout.resume();
  const status = await new Promise((resolve) => child.on("close", resolve));
  if (status !== 0) throw new Error(`the peer ended with ${status}`);
}

/** Texts with room for different anchors of a step. */
function readTexts(count) {
  const lines = readFileSync(values.texts, "utf8").trim().split("\n");
  const texts = lines.map((line) => {
    const { prompt_ids, response_ids } = JSON.parse(line);
    const first = prompt_ids.length - 1;
    return {
      line,
      first,
      nAnchors: response_ids.length - masks,
      tokens: Int32Array.from([...prompt_ids, ...response_ids]),
    };
  });
  return texts.filter(({ nAnchors }) => nAnchors >= anchorsPerSequence()).slice(0, count);
}

function anchorsPerSequence() {
  return Math.floor(Number(values.rows) / (SEQUENCES * masks));
}

/** [text, its anchors in ascending order] for each sequence of each step; all texts in turn. */
function chooseBatches(texts, steps) {
  let state = 7;
  const below = (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  return Array.from({ length: steps }, (_, step) =>
    Array.from({ length: SEQUENCES }, (_unused, i) => {
      const text = (step * SEQUENCES + i) % texts.length;
      const { first, nAnchors } = texts[text];
      const chosen = new Set();
      while (chosen.size < anchorsPerSequence()) chosen.add(first + below(nAnchors));
      return [text, [...chosen].sort((a, b) => a - b)];
    }),
  );
}

/** Products with matrices of the base, the LoRA and the sampler head, forward and backward. */
function productsPerRow(idlm, adapter) {
  const { config } = idlm.openModel(values.base, "gguf");
  const { hiddenSize: hidden, mlpSize: mlp, headDim, nHeads, nKvHeads, nLayers } = config;
  const layers = nLayers - Number(values["entry-layer"]);
  const layer = hidden * headDim * 2 * (nHeads + nKvHeads) + 3 * hidden * mlp;
  const { r } = JSON.parse(readFileSync(join(adapter, "adapter_config.json"), "utf8"));
  const lora = r * (hidden * 3 + headDim * (nHeads + 2 * nKvHeads) + headDim * nHeads + hidden + 3 * (hidden + mlp));
  const frozen = layers * layer + Number(values["draft-vocabulary"]) * hidden;
  const trained = layers * lora + 3 * hidden * hidden;
  // The gradients of trained weights are products, too.
  return 2 * frozen + 3 * trained;
}

function quantile(all, q) {
  const sorted = all.toSorted((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

function average(all) {
  return all.reduce((a, b) => a + b, 0) / all.length;
}
