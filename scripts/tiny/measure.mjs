#!/usr/bin/env node
// Of a model, on the held-out rows of a training text: mean negative log-likelihood of the answers, lists that it sorts by plain
// decoding, and tokens per forward by stride.
//
//   npm run build && node scripts/tiny/measure.mjs TEXT_FOLDER MODEL [ADAPTER]
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "../../dist/index.js";

const [folder, path, adapter] = process.argv.slice(2);
if (folder === undefined || path === undefined) throw new Error("usage: measure.mjs TEXT_FOLDER MODEL [ADAPTER]");
const lines = readFileSync(join(folder, "text.jsonl"), "utf8").trim().split("\n");
const rows = lines.map((line) => JSON.parse(line)).filter(({ split }) => split === "held-out");
const chats = rows.filter(({ source }) => source !== "sums" && source !== "lists").slice(0, 30);
const lists = rows.filter(({ source }) => source === "lists").slice(0, 100);

const model = await load(path, { threads: 1, ...(adapter && { adapter }) });

const nll = { sum: 0, tokens: 0, first: 0 };
for (const { messages } of rows) {
  const prompt = await model.tokenizer.encodeChat(messages.slice(0, -1));
  const ids = await model.tokenizer.encodeChat(messages, { addGenerationPrompt: false });
  const { tokens } = await model.score({ ids, logprobs: 1 });
  // The answer and its end; the line break after it is the template's.
  for (const { token, logprob, top } of tokens.slice(prompt.length, -1)) {
    nll.sum -= logprob;
    nll.tokens++;
    if (top[0].token === token) nll.first++;
  }
}
const share = ((100 * nll.first) / nll.tokens).toFixed(1);
process.stdout.write(`NLL ${(nll.sum / nll.tokens).toFixed(3)} of ${nll.tokens} tokens, ${share} % ranked first\n`);

let sorted = 0;
for (const { messages } of lists) {
  let text = "";
  const generation = model.generate({ messages: messages.slice(0, -1), maxTokens: 24, propose: "none" });
  for await (const part of generation) text += part.text;
  if (text.trim() === messages.at(-1).content) sorted++;
}
process.stdout.write(`${sorted} of ${lists.length} lists sorted\n`);
for (const stride of adapter ? [2, 3, 4] : [2, 3, 4, 8]) {
  for (const verify of ["exact", "rejection"]) {
    for (const temperature of [0, 0.7]) {
      let tokens = 0;
      let forwards = 0;
      for (const { messages } of chats) {
        const options = { propose: "mask", shape: "chain", stride, verify, temperature, maxTokens: 96, seed: 1 };
        const result = await model.generate({ messages: messages.slice(0, -1), ...options }).result;
        tokens += result.tokens.length;
        forwards += result.tokens.length / result.tokensPerForward;
      }
      process.stdout.write(
        `stride ${stride}, ${verify}, temperature ${temperature}: ${(tokens / forwards).toFixed(2)}\n`,
      );
    }
  }
}
await model.dispose();
