// Measures tokens per forward of fixed round shapes on given prompts (all tokens / all forwards), in exact mode.
//
//   npm run build && node scripts/tokens-per-forward.mjs MODEL PROMPTS.jsonl [--written-at T] [--temperature T] [--shapes S...] [--stride N]
//
// Lines are {"prompt_ids": [...], "temperature": T}; --written-at selects those of one temperature. Outputs have up to 288
// tokens, like those of the pilot's evaluation data.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { load } from "../dist/index.js";

const MAX_TOKENS = 288;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "written-at": { type: "string" },
    temperature: { type: "string", default: "0" },
    shapes: { type: "string", multiple: true, default: ["chain", "quadratic", "tree"] },
    stride: { type: "string", default: "4" },
    threads: { type: "string", default: "2" },
  },
});
const [name, path] = positionals;
if (name === undefined || path === undefined) {
  console.error("usage: node scripts/tokens-per-forward.mjs MODEL PROMPTS.jsonl [options]");
  process.exit(2);
}
const lines = readFileSync(path, "utf8").trim().split("\n");
const prompts = lines
  .map((line) => JSON.parse(line))
  .filter((row) => values["written-at"] === undefined || row.temperature === Number(values["written-at"]));
const model = await load(name, { threads: Number(values.threads) });
try {
  for (const shape of values.shapes) {
    let [tokens, forwards, proposals, maskRows] = [0, 0, 0, 0];
    for (const [seed, { prompt_ids: ids }] of prompts.entries()) {
      const method = { propose: "mask", shape, stride: Number(values.stride) };
      const request = { ids, seed, temperature: Number(values.temperature), maxTokens: MAX_TOKENS, ...method };
      const result = await model.generate(request).result;
      forwards += result.forwards;
      tokens += result.forwards * result.tokensPerForward;
      for (const round of result.rounds) {
        proposals += round.rounds * round.proposals;
        maskRows += round.rounds * round.maskRows;
      }
    }
    const rows = `${(1 + proposals / forwards).toFixed(1)} + ${(maskRows / forwards).toFixed(1)} rows`;
    console.log(
      `${shape} ${values.stride}: ${(tokens / forwards).toFixed(3)} tokens per forward, ${rows}, ${prompts.length} prompts`,
    );
  }
} finally {
  await model.dispose();
}
