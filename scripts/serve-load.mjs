/**
 * Load test of `idlm serve`, beside llama-server and the library in the same process:
 *
 *   npm run build
 *   node scripts/serve-load.mjs smollm2-135m-instruct --peer build/bin/llama-server --peer-model FILE.gguf
 *
 * For each number of clients, the servers take turns (--rounds times). Each client sends --requests chats one after the
 * other, all different from the first token on, so that no prefix cache helps. Reported, as medians over the rounds: tokens
 * per second of all clients; time to first token and time per further token (medians and 95th percentiles over requests);
 * CPU time of the server per token. --cold N also measures N cold starts, from the start of the process to the first token.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peer: { type: "string" },
    "peer-model": { type: "string" },
    library: { type: "boolean", default: false },
    clients: { type: "string", default: "1,4,16" },
    requests: { type: "string", default: "2" },
    tokens: { type: "string", default: "64" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    cold: { type: "string", default: "0" },
    propose: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const [model = "smollm2-135m-instruct"] = positionals;
const { threads, propose } = options;
const nRequests = Number(options.requests);
const maxTokens = Number(options.tokens);
const nRounds = Number(options.rounds);
const clientCounts = options.clients.split(",").map(Number);
const prompts = readFileSync(join(root, "bench", "prompts.jsonl"), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line).messages.at(-1).content);

const median = (numbers) => quantile(numbers, 0.5);
function quantile(numbers, q) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

/** User and system time of a process, in milliseconds. */
function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function startIdlm() {
  const child = spawn(
    process.execPath,
    [
      join(root, "dist/cli/main.js"),
      "serve",
      model,
      "--port",
      "0",
      "--json",
      "--threads",
      threads,
      "--log-level",
      "error",
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const [line] = await once(child.stdout, "data");
  const { url } = JSON.parse(line.toString());
  return { child, url };
}

async function startPeer() {
  const port = await freePort();
  const context = String(Math.max(...clientCounts) * 1024);
  const slots = String(Math.max(...clientCounts));
  const args = ["-m", options["peer-model"], "-np", slots, "-c", context, "-t", threads, "-tb", threads];
  const child = spawn(options.peer, [...args, "--host", "127.0.0.1", "--port", String(port)], { stdio: "ignore" });
  return { child, url: `http://127.0.0.1:${port}` };
}

async function ready(url) {
  for (;;) {
    const status = await fetch(`${url}/health`).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The models' first name, which requests have to give. */
async function nameOf(url) {
  return (await (await fetch(`${url}/v1/models`)).json()).data[0].id;
}

/** Streams an answer; counts tokens by the usage that the server reports. */
async function ask(url, name, prompt) {
  const post = () =>
    fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        ...{ model: name, messages: [{ role: "user", content: prompt }], temperature: 0, max_tokens: maxTokens },
        ...{ stream: true, stream_options: { include_usage: true } },
        ...(propose !== undefined && { propose }),
      }),
    });
  const start = performance.now();
  // A connection that was idle while others had their turn may just be closed.
  const response = await post().catch(post);
  if (response.status !== 200) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  let firstMs;
  let lastMs = 0;
  let tail = "";
  let usage;
  const decoder = new TextDecoder();
  for await (const bytes of response.body) {
    tail += decoder.decode(bytes, { stream: true });
    const end = tail.lastIndexOf("\n\n");
    if (end < 0) continue;
    for (const event of tail.slice(0, end).split("\n\n")) {
      if (!event.startsWith("data: {")) continue;
      const { choices, usage: counted } = JSON.parse(event.slice("data: ".length));
      if (choices[0]?.delta.content) {
        lastMs = performance.now() - start;
        firstMs ??= lastMs;
      }
      usage = counted ?? usage;
    }
    tail = tail.slice(end + 2);
  }
  return { firstMs, lastMs, nTokens: usage.completion_tokens };
}

/** The same through the library, in this process. */
async function askLibrary(loaded, prompt) {
  const start = performance.now();
  const generation = loaded.generate({
    ...{ messages: [{ role: "user", content: prompt }], maxTokens },
    ...(propose !== undefined && { propose }),
  });
  let firstMs;
  let lastMs = 0;
  for await (const part of generation) {
    if (part.text === "") continue;
    lastMs = performance.now() - start;
    firstMs ??= lastMs;
  }
  return { firstMs, lastMs, nTokens: (await generation.result).tokens.length };
}

/** Each of `nClients` sends its requests one after the other. */
async function load(contestant, nClients, round) {
  const startCpu = contestant.cpuMs();
  const start = performance.now();
  const asked = await Promise.all(
    Array.from({ length: nClients }, async (_, client) => {
      const results = [];
      for (let i = 0; i < nRequests; i++) {
        const number = (round * nClients + client) * nRequests + i;
        // The number comes first, so that no two prompts share a page of the cache.
        results.push(await contestant.ask(`${number}-${nClients}: ${prompts[number % prompts.length]}`));
      }
      return results;
    }),
  );
  const results = asked.flat();
  const nTokens = results.reduce((sum, result) => sum + result.nTokens, 0);
  const between = results.map(({ firstMs, lastMs, nTokens: n }) => (lastMs - firstMs) / Math.max(1, n - 1));
  return {
    tokensPerSecond: nTokens / ((performance.now() - start) / 1000),
    firstMs: median(results.map(({ firstMs }) => firstMs)),
    firstMs95: quantile(
      results.map(({ firstMs }) => firstMs),
      0.95,
    ),
    betweenMs: median(between),
    betweenMs95: quantile(between, 0.95),
    cpuMsPerToken: (contestant.cpuMs() - startCpu) / nTokens,
  };
}

/** From the start of the process to the first token of its first answer. */
async function coldStart() {
  const start = performance.now();
  const { child, url } = await startIdlm();
  const name = await nameOf(url);
  const askedMs = performance.now() - start;
  const { firstMs } = await ask(url, name, prompts[0]);
  child.kill("SIGTERM");
  await once(child, "close");
  return askedMs + firstMs;
}

const contestants = [];
const children = [];
async function addServer(name, { child, url }) {
  children.push(child);
  await ready(url);
  const served = await nameOf(url);
  contestants.push({ name, cpuMs: () => cpuMs(child.pid), ask: (prompt) => ask(url, served, prompt) });
}

const report = { model, threads, maxTokens, results: [], cold: [] };
try {
  for (let i = 0; i < Number(options.cold); i++) report.cold.push(await coldStart());
  if (clientCounts.some((n) => n > 0)) {
    await addServer("idlm serve", await startIdlm());
    if (options.peer !== undefined) await addServer("llama-server", await startPeer());
    if (options.library) {
      const { load: loadModel } = await import(join(root, "dist/index.js"));
      const loaded = await loadModel(model, { threads: Number(threads) });
      const own = () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1000;
      };
      contestants.push({ name: "library", cpuMs: own, ask: (prompt) => askLibrary(loaded, prompt) });
    }
    for (const contestant of contestants) await contestant.ask("Warm up.");
    for (const nClients of clientCounts) {
      const runs = new Map(contestants.map((contestant) => [contestant, []]));
      for (let round = 0; round < nRounds; round++) {
        for (const contestant of contestants) runs.get(contestant).push(await load(contestant, nClients, round));
      }
      for (const [{ name }, rounds] of runs) {
        const keys = Object.keys(rounds[0]);
        const medians = Object.fromEntries(keys.map((key) => [key, median(rounds.map((run) => run[key]))]));
        report.results.push({ clients: nClients, name, ...medians });
      }
    }
  }
} finally {
  for (const child of children) child.kill("SIGTERM");
}

if (options.json) console.log(JSON.stringify(report, undefined, 2));
else {
  const columns = ["clients", "name", "tokens/s", "first ms", "(95 %)", "between ms", "(95 %)", "CPU ms/token"];
  const rows = report.results.map((row) => [
    ...[row.clients, row.name, row.tokensPerSecond.toFixed(1), row.firstMs.toFixed(1), row.firstMs95.toFixed(1)],
    ...[row.betweenMs.toFixed(2), row.betweenMs95.toFixed(2), row.cpuMsPerToken.toFixed(2)],
  ]);
  for (const row of [columns, ...rows]) console.log(row.map((cell) => String(cell).padStart(13)).join(""));
  for (const ms of report.cold) console.log(`cold start to first token: ${ms.toFixed(0)} ms`);
}
process.exit(0);
