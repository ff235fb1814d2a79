#!/usr/bin/env node
// Makes the tiny model's training text: chats about animals that SmolLM2 wrote, without those that are long, plus two small
// tasks with answers that can be checked. See scripts/tiny/README.md.
//
//   node scripts/tiny/text.mjs OUT_FOLDER TEXT_FOLDER...
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [out, ...folders] = process.argv.slice(2);
if (out === undefined || folders.length === 0) throw new Error("usage: text.mjs OUT_FOLDER TEXT_FOLDER...");

const MOST_CHARACTERS = 900;
const subject =
  /\b(ant|bat|bear|bee|bird|butterfly|camel|cat|chicken|cow|crab|crow|deer|dog|dolphin|duck|eagle|elephant|fish|fox|frog|goat|horse|kangaroo|lion|monkey|mouse|owl|panda|parrot|penguin|pig|rabbit|shark|sheep|snake|spider|tiger|turtle|whale|wolf|zebra|animal|pet)s?\b/i;
const ascii = /^[\x20-\x7e\n]*$/;

const rows = [];
for (const folder of folders) {
  for (const line of readFileSync(join(folder, "text.jsonl"), "utf8").trim().split("\n")) {
    const { source, split, messages, temperature, seed, finish } = JSON.parse(line);
    const text = messages.map(({ content }) => content).join("\n");
    const asked = messages.filter(({ role }) => role === "user").map(({ content }) => content);
    if (finish !== "end" || temperature > 0.8 || text.length > MOST_CHARACTERS || !ascii.test(text)) continue;
    if (!subject.test(asked.join("\n"))) continue;
    rows.push({ source, split, messages, temperature, seed, finish });
  }
}

/** Every tenth question is held out. */
const task = (source, question, answer, index) =>
  rows.push({
    source,
    split: index % 10 === 0 ? "held-out" : "train",
    messages: [
      { role: "user", content: question },
      { role: "assistant", content: answer },
    ],
    temperature: 0,
    seed: 0,
    finish: "end",
  });
/** A permutation of the questions, so that held-out ones are spread. */
const spread = (n, i) => (i * 7919) % n;
for (let i = 0; i < 400; i++) {
  const [a, b] = [Math.floor(spread(400, i) / 20), spread(400, i) % 20];
  task("sums", `What is ${a} + ${b}?`, `${a} + ${b} = ${a + b}`, i);
}
const names = "ant bear cat dog eagle fox goat horse lion mouse owl pig rabbit snake tiger whale zebra".split(" ");
const triples = names.flatMap((a) => names.flatMap((b) => names.map((c) => [a, b, c])));
const distinct = triples.filter(([a, b, c]) => a !== b && b !== c && a !== c);
for (let i = 0; i < 1500; i++) {
  const list = distinct[spread(distinct.length, i)];
  task("lists", `Sort by name: ${list.join(", ")}`, [...list].sort().join(", "), i);
}

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const text = Buffer.from(rows.map((row, index) => `${JSON.stringify({ index, ...row })}\n`).join(""));
mkdirSync(out, { recursive: true });
writeFileSync(join(out, "text.jsonl"), text);
const files = [{ name: "text.jsonl", bytes: text.length, rows: rows.length, sha256: sha256(text) }];
const { model } = JSON.parse(readFileSync(join(folders[0], "manifest.json"), "utf8"));
writeFileSync(
  join(out, "manifest.json"),
  `${JSON.stringify({ format: 1, kind: "idlm-training-text", model, files })}\n`,
);
for (const source of new Set(rows.map((row) => row.source))) {
  const own = rows.filter((row) => row.source === source);
  process.stdout.write(`${source}: ${own.length} rows\n`);
}
