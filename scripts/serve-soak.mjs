/**
 * Soak test of the built `idlm serve`: many requests of all APIs, a third of them aborted at random, a tenth malformed.
 *
 *   npm run build && node scripts/serve-soak.mjs [--model FILE.gguf] [--requests 10000] [--clients 32]
 *
 * Fails if the server ends, if a finished text is not the one that the library generates alone, if a malformed request is not
 * answered with a status from 400 to 499, if pages of the KV cache stay in use, or if resident memory keeps growing.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");
const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: join(root, "test/fixtures/gguf/tiny64-Q8_0.gguf") },
    requests: { type: "string", default: "10000" },
    clients: { type: "string", default: "32" },
    seed: { type: "string", default: "1" },
  },
});
const nRequests = Number(options.requests);
/** Growth of resident memory from the first fifth of the run to its end that caches and the heap's own slack explain. */
const MAX_GROWTH = 0.2;
/** Caches and the heap still fill up in a shorter run. */
const FEWEST_TO_SETTLE = 5000;
const MAX_ABORT_MS = 60;

/** mulberry32: the same requests for the same seed. */
function random(seed) {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const draw = random(Number(options.seed));
const pick = (values) => values[Math.floor(draw() * values.length)];

/** What is asked: some prompts share beginnings, so that pages are shared, too. */
const words = ["the sea", "a forest", "seven", "the lighthouse keeper of the harbour", "green tea", "bees and honey"];
const cases = Array.from({ length: 60 }, (_, i) => ({
  prompt: `${"Tell me more about it. ".repeat(i % 5)}${words[i % words.length]} ${i}`,
  maxTokens: [1, 4, 12, 24, 40][i % 5],
  seed: i % 3,
  temperature: i % 4 === 0 ? 0 : 1,
}));

const sse = (text, read) =>
  text
    .split("\n\n")
    .flatMap((event) => event.split("\n").filter((line) => line.startsWith("data: {")))
    .map((line) => read(JSON.parse(line.slice("data: ".length))) ?? "")
    .join("");
const lines = (text, read) =>
  text
    .trim()
    .split("\n")
    .map((line) => read(JSON.parse(line)) ?? "")
    .join("");
const user = ({ prompt }) => [{ role: "user", content: prompt }];
const idlm = ({ seed, temperature }) => ({ seed, temperature });

/** Each API: its path, the body, and how to read the text of its answer. */
const apis = [
  {
    path: "/v1/chat/completions",
    body: (c, stream) => ({ messages: user(c), max_tokens: c.maxTokens, ...idlm(c), stream }),
    whole: (json) => json.choices[0].message.content,
    streamed: (text) => sse(text, (chunk) => chunk.choices[0]?.delta.content),
  },
  {
    path: "/v1/responses",
    body: (c, stream) => ({ input: c.prompt, max_output_tokens: c.maxTokens, ...idlm(c), stream }),
    whole: (json) => json.output.flatMap(({ content }) => content.map(({ text }) => text)).join(""),
    streamed: (text) => sse(text, (event) => (event.type === "response.output_text.delta" ? event.delta : "")),
  },
  {
    path: "/v1/messages",
    body: (c, stream) => ({ messages: user(c), max_tokens: c.maxTokens, ...idlm(c), stream }),
    whole: (json) => json.content.map(({ text }) => text).join(""),
    streamed: (text) => sse(text, (event) => event.delta?.text),
  },
  {
    path: "/api/chat",
    body: (c, stream) => ({ messages: user(c), options: { num_predict: c.maxTokens, ...idlm(c) }, stream }),
    whole: (json) => json.message.content,
    streamed: (text) => lines(text, (part) => part.message.content),
  },
];

const malformed = [
  () => ["/v1/chat/completions", '{"model": '],
  () => ["/v1/chat/completions", JSON.stringify({ model: "absent", messages: [] })],
  (name) => ["/v1/chat/completions", JSON.stringify({ model: name, messages: [{ role: "nobody", content: "a" }] })],
  (name) => ["/v1/chat/completions", JSON.stringify({ model: name, messages: "x".repeat(10_000) })],
  (name) => ["/v1/completions", JSON.stringify({ model: name, prompt: "word ".repeat(5000) })],
  (name) => ["/v1/completions", JSON.stringify({ model: name, prompt: "a", n: -1 })],
  (name) => ["/v1/messages", JSON.stringify({ model: name, max_tokens: "many", messages: [] })],
  (name) => ["/v1/responses", JSON.stringify({ model: name, input: [{ type: "unknown" }] })],
  () => ["/api/chat", "null"],
  (name) => ["/api/generate", JSON.stringify({ model: name, prompt: ["a"] })],
  () => ["/v1/chat/completions", Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
  (name) => [
    "/v1/chat/completions",
    JSON.stringify({
      ...{ model: name, messages: [{ role: "user", content: "a" }] },
      response_format: { type: "json_schema", json_schema: { name: "s", schema: { type: "nothing" } } },
    }),
  ],
  () => ["/nowhere", "{}"],
];

async function expectedTexts() {
  const { load } = await import(join(root, "dist/index.js"));
  const model = await load(options.model);
  const texts = [];
  for (const { prompt, maxTokens, seed, temperature } of cases) {
    const messages = [{ role: "user", content: prompt }];
    const generation = model.generate({ messages, maxTokens, seed, temperature, propose: "none" });
    let text = "";
    for await (const part of generation) text += part.text;
    texts.push(text);
  }
  await model.dispose();
  return texts;
}

const expected = await expectedTexts();
const failures = [];
const counts = { right: 0, aborted: 0, refused: 0 };
const child = spawn(
  process.execPath,
  [join(root, "dist/cli/main.js"), "serve", options.model, "--port", "0", "--json", "--log-level", "error"],
  { stdio: ["ignore", "pipe", "inherit"] },
);
const [line] = await once(child.stdout, "data");
const { url } = JSON.parse(line.toString());
let ended = false;
child.once("close", () => {
  ended = true;
});
const name = (await (await fetch(`${url}/v1/models`)).json()).data[0].id;

async function metrics() {
  const text = await (await fetch(`${url}/metrics`)).text();
  return (metric) => Number(new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(text)?.[1]);
}

async function ask() {
  const kind = draw();
  if (kind < 0.1) {
    const [path, body] = pick(malformed)(name);
    const { status } = await fetch(url + path, { method: "POST", body }).then(drained);
    if (status >= 400 && status < 500) counts.refused++;
    else failures.push(`${path} ${String(body).slice(0, 80)}: status ${status}`);
    return;
  }
  const number = Math.floor(draw() * cases.length);
  const [api, stream, aborted, abortMs] = [pick(apis), draw() < 0.5, kind < 0.1 + 1 / 3, draw() * MAX_ABORT_MS];
  const body = JSON.stringify({ model: name, ...api.body(cases[number], stream) });
  const signal = aborted ? AbortSignal.timeout(Math.round(abortMs)) : undefined;
  try {
    const response = await fetch(url + api.path, { method: "POST", body, signal });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`status ${response.status} ${text.slice(0, 200)}`);
    const found = stream ? api.streamed(text) : api.whole(JSON.parse(text));
    if (found === expected[number]) counts.right++;
    else failures.push(`${api.path} ${JSON.stringify(cases[number])}: ${JSON.stringify([found, expected[number]])}`);
  } catch (error) {
    if (signal?.aborted) counts.aborted++;
    else failures.push(`${api.path}: ${error.message} ${error.cause ?? ""}`);
  }
}

async function drained(response) {
  await response.text();
  return response;
}

const memory = [];
let sent = 0;
await Promise.all(
  Array.from({ length: Number(options.clients) }, async () => {
    while (sent < nRequests && !ended) {
      if (sent++ % Math.ceil(nRequests / 20) === 0) {
        const value = await metrics();
        memory.push(Math.round(value("process_resident_memory_bytes") / 2 ** 20));
        console.error(`${sent} requests, ${memory.at(-1)} MB, ${JSON.stringify(counts)}, ${failures.length} failures`);
      }
      await ask();
    }
  }),
);

// Sequences of clients that went away end within a forward.
let value = await metrics();
for (let i = 0; i < 50 && value("idlm:num_requests_running") + value("idlm:num_requests_waiting") > 0; i++) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  value = await metrics();
}
for (const gauge of ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"]) {
  if (value(`idlm:${gauge}`) !== 0) failures.push(`${gauge} is ${value(`idlm:${gauge}`)} at the end`);
}
memory.push(Math.round(value("process_resident_memory_bytes") / 2 ** 20));
const settled = memory[Math.floor(memory.length / 5)];
if (nRequests >= FEWEST_TO_SETTLE && memory.at(-1) > settled * (1 + MAX_GROWTH))
  failures.push(`resident memory grew: ${memory.join(", ")} MB`);
if (ended) failures.push("the server ended");
else {
  child.kill("SIGTERM");
  const [status] = await once(child, "close");
  if (status !== 0) failures.push(`the server ended with status ${status}`);
}
console.log(
  JSON.stringify({ requests: sent, ...counts, memoryMb: memory, failures: failures.slice(0, 20) }, undefined, 1),
);
process.exit(failures.length > 0 ? 1 : 0);
