// Calibrates the confidences of src/decoding/proposers/lookup-proposer.ts and predicted-proposer.ts.
//
//   node scripts/proposer-calibration.mjs lookup FIT.jsonl [CHECK.jsonl...]
//   node scripts/proposer-calibration.mjs answers MODEL OUT.jsonl     generates answers to rewriting tasks
//   node scripts/proposer-calibration.mjs predicted ANSWERS.jsonl
//
// Lines are {"prompt_ids": [...], "response_ids": [...], "predicted_ids": [...]}, the last key for `predicted` only.
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "tsdown";

const LENGTHS = [1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, Number.POSITIVE_INFINITY];
const RESPONSE_TOKENS = 220;

const code = [
  "function total(prices) {\n  let sum = 0;\n  for (const price of prices) {\n    sum = sum + price;\n  }\n  return sum;\n}\n\nfunction average(prices) {\n  return total(prices) / prices.length;\n}",
  "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n        self.items.append(item)\n\n    def pop(self):\n        if len(self.items) == 0:\n            return None\n        return self.items.pop()\n\n    def size(self):\n        return len(self.items)",
  "def is_prime(n):\n    if n < 2:\n        return False\n    for i in range(2, n):\n        if n % i == 0:\n            return False\n    return True\n\nfor n in range(20):\n    if is_prime(n):\n        print(n)",
  "const users = [];\n\nfunction addUser(name, email) {\n  const user = { name: name, email: email };\n  users.push(user);\n  return user;\n}\n\nfunction findUser(email) {\n  for (const user of users) {\n    if (user.email === email) {\n      return user;\n    }\n  }\n  return null;\n}",
];
const texts = [
  "The harbour of Millbrook is small but busy. Every morning the fishing boats leave before sunrise and return around noon. The fish are sold at the market next to the old lighthouse. In summer many visitors come to see the boats and to eat at the three restaurants near the pier. The oldest restaurant, the Blue Anchor, was opened in 1921 by two sisters.",
  "Bees live in large groups called colonies. Each colony has one queen, some drones, and thousands of workers. The workers collect nectar and pollen from flowers and bring it back to the hive. Inside the hive they turn the nectar into honey. The honey is stored in small cells made of wax and feeds the colony through the winter.",
  "Dear Mr. Hansen, thank you for your letter of May 4. We are sorry that the bicycle you ordered arrived with a broken wheel. We will send you a new wheel this week at no cost. Please keep the broken wheel until our driver comes to collect it. If you have any questions, call us between nine and five on any working day.",
  "Last week I goes to the library to return three book. The librarian were very kind and she tell me about a new reading group. The group meet every Thursday evening in the small room upstairs. I thinks I will join them, because I likes to talk about books and I wants to meet new people in this town.",
];
const tasks = [
  ...code.flatMap((text) => [
    ["Rewrite this code with a comment before each function:", text],
    ["Rename one variable in this code and print the whole code again:", text],
  ]),
  ...texts.flatMap((text) => [
    ["Correct the spelling and grammar of this text. Print the whole text:", text],
    ["Rewrite this text in a more formal style:", text],
  ]),
];

const [command, ...files] = process.argv.slice(2);
const commands = { lookup, answers, predicted };
if (!Object.hasOwn(commands, command ?? "") || files.length === 0) {
  console.error("usage: node scripts/proposer-calibration.mjs lookup|answers|predicted FILE...");
  process.exit(2);
}
const root = join(import.meta.dirname, "..");
const outDir = await mkdtemp(join(tmpdir(), "idlm-calibration-"));
const sources = ["suffix-automaton", "lookup-proposer", "predicted-proposer"];
try {
  await build({
    config: false,
    cwd: root,
    entry: Object.fromEntries(sources.map((name) => [name, join(root, `src/decoding/proposers/${name}.ts`)])),
    outDir,
    format: "esm",
    platform: "node",
    dts: false,
    logLevel: "error",
  });
  await commands[command](...files);
} finally {
  await rm(outDir, { recursive: true, force: true });
}

function load(name) {
  return import(pathToFileURL(join(outDir, `${name}.mjs`)).href);
}

function read(file) {
  return readFileSync(file, "utf8").trim().split("\n").map(JSON.parse);
}

/** The maximum-likelihood discount for each context length, from the first file; then predicted against actual rates. */
async function lookup(...names) {
  const { SuffixAutomaton, NONE } = await load("suffix-automaton");
  const { LookupProposer } = await load("lookup-proposer");
  const cases = LENGTHS.map(() => []);
  for (const { prompt_ids, response_ids } of read(names[0])) {
    const automaton = new SuffixAutomaton();
    for (const token of prompt_ids) automaton.append(token);
    for (const token of response_ids) {
      const context = automaton.link(automaton.last);
      let total = 0;
      let best = { times: 0, newest: 0, token: -1 };
      for (let edge = automaton.firstEdge(context); edge !== NONE; edge = automaton.nextEdge(edge)) {
        const times = automaton.count(automaton.target(edge));
        const newest = automaton.newest(automaton.target(edge));
        total += times;
        if (times > best.times || (times === best.times && newest > best.newest)) {
          best = { times, newest, token: automaton.token(edge) };
        }
      }
      const length = automaton.longest(context);
      if (length > 0) {
        const bucket = cases[LENGTHS.findIndex((longest) => length <= longest)];
        bucket.push({ n: best.times, total, isRight: best.token === token });
      }
      automaton.append(token);
    }
  }
  console.log(`${names[0]}: longest context up to, cases, correct, maximum-likelihood discount`);
  for (const [i, bucket] of cases.entries()) {
    const lossOf = (discount) =>
      bucket.reduce((sum, { n, total, isRight }) => {
        const p = (n - discount) / total;
        return sum - Math.log(isRight ? p : 1 - p);
      }, 0);
    const grid = Array.from({ length: 99 }, (_, k) => (k + 1) / 100);
    const discount = grid.reduce((best, one) => (lossOf(one) < lossOf(best) ? one : best));
    const right = bucket.filter(({ isRight }) => isRight).length / bucket.length;
    console.log(`${LENGTHS[i]}\t${bucket.length}\t${right.toFixed(3)}\t${discount.toFixed(2)}`);
  }
  for (const name of names) compare(name, () => new LookupProposer({ minConfidence: 0.02 }), read(name));
}

/** Predicted against actual rates, with the text to rewrite as the predicted output. */
async function predicted(...names) {
  const { PredictedProposer } = await load("predicted-proposer");
  for (const name of names) compare(name, ({ predicted_ids }) => new PredictedProposer(predicted_ids), read(name));
}

function compare(name, proposerOf, lines) {
  const ranks = [0, 1, 2].map(() => new Map());
  for (const line of lines) {
    const proposer = proposerOf(line);
    proposer.observe(line.prompt_ids);
    for (const token of line.response_ids) {
      const { tokens, confidences } = proposer.candidates([], ranks.length);
      for (const [rank, proposed] of tokens.entries()) {
        const bin = Math.floor(confidences[rank] * 20);
        const { n = 0, predicted = 0, actual = 0 } = ranks[rank].get(bin) ?? {};
        const isRight = proposed === token;
        ranks[rank].set(bin, {
          n: n + 1,
          predicted: predicted + confidences[rank],
          actual: actual + (isRight ? 1 : 0),
        });
      }
      proposer.observe([token]);
    }
  }
  for (const [rank, bins] of ranks.entries()) {
    const shown = [...bins].sort(([a], [b]) => a - b);
    console.log(`${name}, alternative ${rank + 1}: predicted, actual, cases`);
    for (const [, { n, predicted, actual }] of shown) {
      console.log(`${(predicted / n).toFixed(2)}\t${(actual / n).toFixed(2)}\t${n}`);
    }
  }
}

/** Requires the built library (npm run build). */
async function answers(name, out) {
  const { load: loadModel } = await import(pathToFileURL(join(root, "dist/index.js")).href);
  const model = await loadModel(name, { adapter: false });
  const lines = [];
  for (const [task, text] of tasks) {
    for (const temperature of [0, 0.7]) {
      const content = `${task}\n\n${text}`;
      const messages = [{ role: "user", content }];
      const seed = lines.length;
      const generation = model.generate({ messages, maxTokens: RESPONSE_TOKENS, temperature, seed, propose: "none" });
      const { tokens } = await generation.result;
      const ids = { prompt_ids: model.tokenize(content), predicted_ids: model.tokenize(text), response_ids: tokens };
      lines.push(JSON.stringify({ ...ids, temperature }));
    }
  }
  writeFileSync(out, `${lines.join("\n")}\n`);
  await model.dispose();
}
