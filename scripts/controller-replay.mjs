// Records generations, and replays the controller on them with other costs and acceptance.
//
//   node scripts/controller-replay.mjs record OUT.jsonl [--model M] [--adapter DIR] [--prompts N] [--max-tokens N]
//   node scripts/controller-replay.mjs replay TRACE.jsonl... [--costs C,...] [--survivals S,...] [--batches N,...] [--kinds K,...]
//                                             [--conditions usual,fresh,shared] [--json OUT]
//
// A trace has the outputs of plain decoding for the bundled prompts, what MASK rows propose after every token, and the measured
// time of forwards; prompt lookup and predicted outputs are run again on its tokens. Costs are "measured" or what a row costs as
// a share of a forward, survivals "recorded" or the shares of MASK 1, 1 to 2, and 1 to 3 that are right on chat.
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "tsdown";

const root = join(import.meta.dirname, "..");
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: "smollm2-135m-instruct" },
    adapter: { type: "string" },
    threads: { type: "string", default: "2" },
    prompts: { type: "string", default: "10" },
    "max-tokens": { type: "string", default: "96" },
    costs: { type: "string", default: "measured,0.03,0.12,0.25" },
    survivals: { type: "string", default: ".50/.23/.10,.62/.36/.20,.75/.55/.38" },
    batches: { type: "string", default: "1,4,16,64" },
    kinds: { type: "string", default: "chat,code,summary,rewriting,random,mixed" },
    conditions: { type: "string", default: "fresh" },
    seeds: { type: "string", default: "1" },
    fixed: { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const [command, ...files] = positionals;
if (!["record", "replay"].includes(command) || files.length === 0) {
  console.error("usage: node scripts/controller-replay.mjs record OUT.jsonl | replay TRACE.jsonl...");
  process.exit(2);
}
await { record, replay }[command]();

async function record() {
  const { record: run } = await load("record");
  const out = createWriteStream(files[0]);
  const { model, adapter } = values;
  await run({
    ...{ model, adapter, threads: Number(values.threads) },
    ...{ maxTokens: Number(values["max-tokens"]), prompts: Number(values.prompts) },
    onLine: (line) => out.write(`${line}\n`),
  });
  out.end();
}

async function replay() {
  const { parseTrace, replayTrace, recordedSurvival } = await load("replay");
  const { fixed } = values;
  const { costs, survivals, kinds, conditions } = Object.fromEntries(
    ["costs", "survivals", "kinds", "conditions"].map((name) => [name, values[name].split(",")]),
  );
  const percent = (shares) => shares.map((share) => share.toFixed(2)).join(" ");
  const batches = values.batches.split(",").map(Number);
  const all = [];
  for (const file of files) {
    const trace = parseTrace(readFileSync(file, "utf8"));
    for (const kind of kinds)
      console.log(`${file}, ${kind}: recorded survival ${percent(recordedSurvival(trace, kind))}`);
    const options = { costs, survivals, batches, kinds, conditions, seeds: Number(values.seeds), hasFixed: fixed };
    for (const figure of replayTrace(trace, options)) {
      all.push({ trace: file, ...figure });
      console.log(lineOf(figure));
    }
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(all)}\n`);
}

/** Tokens per time over plain decoding, from the start and once the texts were seen, and the fastest fixed rounds. */
function lineOf({ cost, survival, kind, batch, conditions, first, overPlain, tokensPerForward, best }) {
  const place = `row ${cost}, survival ${survival}, ${kind}, batch ${batch}, ${conditions}`.padEnd(72);
  const figures = `${overPlain.toFixed(3)} x (first ${first.toFixed(3)}), TPF ${tokensPerForward.toFixed(2)}`;
  return place + figures + (best === undefined ? "" : `, ${best.name} ${best.overPlain.toFixed(3)}`);
}

/** A module of test/support/replay, bundled beside the addon, which is found from the module's own place. */
async function load(name) {
  const outDir = mkdtempSync(join(root, "dist", "replay-"));
  try {
    const entry = { [name]: join(root, `test/support/replay/${name}.ts`) };
    const how = { config: false, cwd: root, format: "esm", platform: "node", dts: false, logLevel: "error" };
    await build({ ...how, entry, outDir });
    return await import(pathToFileURL(join(outDir, `${name}.mjs`)).href);
  } finally {
    rmSync(outDir, { recursive: true, force: true });
  }
}
