/**
 * What HTTP costs per token over the library:
 *
 *   node scripts/serve-overhead.mjs smollm2-135m-instruct --clients 1,16 --propose none,auto
 *
 * One process has the library's model and the server with a second one that shares its weights and threads, so that both run
 * on the same memory. A client process reads streams as they come and only looks for their end. By turns, on new prompts and
 * without end tokens, so that every answer has as many tokens:
 *
 * - library: parts are read in the process;
 * - socket: the library's parts, each written to a socket at once, as a prepared event: no server can do less;
 * - server: POST /v1/chat/completions with stream: true;
 * - each: the same with `--stream-interval 1`, where each part is written at once (not by default: `--contestants`).
 *
 * Reported, as medians over the rounds: ms per token of all requests together; ms between tokens; CPU ms per token of the
 * process's main thread (where JavaScript runs and sockets are written) and of the client; and the ratios of both times
 * to the library's of the same round, with quartiles.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const WARM_UP_RUNS = 20;
const END = Buffer.from("0\r\n\r\n");

/** An event like the server's. */
const DATA = `data: ${JSON.stringify({
  ...{ id: "chatcmpl-0123456789abcdef0123456789abcdef", object: "chat.completion.chunk", created: 1_700_000_000 },
  ...{ model: "m", system_fingerprint: "idlm-numerics-2" },
  choices: [{ index: 0, delta: { content: " forest" }, logprobs: null, finish_reason: null }],
})}\n\n`;
const EVENT = Buffer.from(`${DATA.length.toString(16)}\r\n${DATA}\r\n`);

/** CPU time of the main thread of a process, in ms. */
function mainThreadMs(pid) {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
}

if (process.argv[2] === "client") client();
else await main();

/** Each client asks one request after the other. Returns the time of all, and that between first and last tokens. */
async function timeOf(clients, ask) {
  const startMs = performance.now();
  let betweenMs = 0;
  const one = async (requests) => {
    for (const request of requests) {
      const { firstMs, lastMs } = await ask(request);
      betweenMs += lastMs - firstMs;
    }
  };
  await Promise.all(clients.map(one));
  return { ms: performance.now() - startMs, betweenMs };
}

/** Sends requests when it is told to, each on a connection of its own, and reports when their bytes came. */
function client() {
  const idle = new Map();
  process.on("message", async ({ port, clients }) => {
    process.send(await timeOf(clients, (request) => ask(port, request)));
  });

  async function ask(port, request) {
    const connections = idle.get(port) ?? [];
    idle.set(port, connections);
    const connection = connections.pop() ?? (await open(port));
    const times = await new Promise((resolve, reject) => {
      let firstMs;
      connection.onData = (bytes) => {
        const nowMs = performance.now();
        firstMs ??= nowMs;
        if (bytes.subarray(-END.length).equals(END)) resolve({ firstMs, lastMs: nowMs });
      };
      connection.onClose = () => reject(new Error("the connection was closed"));
      connection.socket.write(request);
    });
    connections.push(connection);
    return times;
  }

  async function open(port) {
    const connection = { socket: undefined, onData: () => {}, onClose: () => {} };
    const onread = { buffer: Buffer.alloc(65_536), callback: (n, buffer) => connection.onData(buffer.subarray(0, n)) };
    connection.socket = connect({ host: "127.0.0.1", port, noDelay: true, onread });
    connection.socket.on("close", () => connection.onClose());
    await once(connection.socket, "connect");
    return connection;
  }
}

async function main() {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      clients: { type: "string", default: "1,16" },
      tokens: { type: "string", default: "64" },
      seconds: { type: "string", default: "30" },
      requests: { type: "string", default: "1" },
      threads: { type: "string", default: "2" },
      propose: { type: "string", default: "none,auto" },
      contestants: { type: "string", default: "library,socket,server" },
      json: { type: "boolean", default: false },
    },
  });
  const [name = "smollm2-135m-instruct"] = positionals;
  const maxTokens = Number(options.tokens);
  let nPrompts = 0;
  const root = join(import.meta.dirname, "..");
  // Inside the checkout, so that the dependencies are found.
  const outDir = await mkdtemp(join(root, "dist", "serve-overhead-"));
  const child = fork(import.meta.filename, ["client"]);
  try {
    const { load, startServer, settings } = await built(root, outDir);
    const log = { info() {}, error: console.error, warn: console.error, debug() {} };
    const model = await load(name, { threads: Number(options.threads), context: 512 });
    const started = async (streamInterval) => {
      const server = await startServer({
        ...{ specs: [{ name: "m", aliases: [], source: name, adapter: undefined }], log },
        load: (_, { signal, reservedBytes, observer }) =>
          load(name, { context: 512, shareWith: model, signal, reservedBytes, observer }),
        settings: { ...settings, port: 0, streamInterval },
      });
      await server.models.preload("m", new AbortController().signal);
      return server;
    };
    const names = options.contestants.split(",");
    const servers = { server: await started(), ...(names.includes("each") && { each: await started(1) }) };
    const ids = Array.from({ length: model.info.vocabSize }, (_, id) => id);
    const endBias = Object.fromEntries(ids.filter((id) => model.tokenizer.isSpecial(id)).map((id) => [id, -100]));
    let propose = "none";
    const generate = ({ prompt, nTokens }) =>
      model.generate({
        ...{ messages: [{ role: "user", content: prompt }], maxTokens: nTokens, logitBias: endBias, propose },
      });
    const bodyOf = ({ prompt, nTokens }) =>
      JSON.stringify({
        ...{ model: "m", messages: [{ role: "user", content: prompt }], stream: true, temperature: 0 },
        ...{ max_tokens: nTokens, logit_bias: endBias, propose },
      });

    const raw = createServer({ noDelay: true }, (socket) => {
      socket.on("data", async (bytes) => {
        for await (const _ of generate(JSON.parse(bytes.toString()))) socket.write(EVENT);
        socket.write(END);
      });
    });
    raw.listen(0, "127.0.0.1");
    await once(raw, "listening");

    const asClient = async (port, clients) => {
      child.send({ port, clients });
      return (await once(child, "message"))[0];
    };
    const served = (server) => (clients) => {
      const posted = (request) => {
        const body = bodyOf(request);
        const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${Buffer.byteLength(body)}`;
        return `${head}\r\n\r\n${body}`;
      };
      return asClient(
        Number(new URL(server.url).port),
        clients.map((requests) => requests.map(posted)),
      );
    };
    const contestants = {
      ...Object.fromEntries(Object.entries(servers).map(([contestant, server]) => [contestant, served(server)])),
      library: (clients) =>
        timeOf(clients, async (request) => {
          let firstMs;
          for await (const _ of generate(request)) firstMs ??= performance.now();
          return { firstMs, lastMs: performance.now() };
        }),
      socket: (clients) =>
        asClient(
          raw.address().port,
          clients.map((requests) => requests.map((request) => JSON.stringify(request))),
        ),
    };
    const report = [];
    // Until the code of a request is compiled.
    for (let i = 0; i < WARM_UP_RUNS; i++) {
      for (const contestant of names) await contestants[contestant](newClients(16, 1, 0, 2));
    }
    for (propose of options.propose.split(",")) {
      for (const nClients of options.clients.split(",").map(Number)) {
        const measured = new Map(names.map((contestant) => [contestant, []]));
        const endMs = performance.now() + 1000 * Number(options.seconds);
        for (let round = -1; round < 1 || performance.now() < endMs; round++) {
          // Not always in the same order.
          for (const contestant of round % 2 === 0 ? names : names.toReversed()) {
            const run = await measure(contestants[contestant], nClients, round + 1);
            if (round >= 0) measured.get(contestant).push(run);
          }
        }
        const rows = summary({ propose, clients: nClients }, measured);
        report.push(...rows);
        if (!options.json) print(rows);
      }
    }
    if (options.json) console.log(JSON.stringify(report, undefined, 2));
    for (const server of Object.values(servers)) await server.stop();
    await model.dispose();
  } finally {
    child.disconnect();
    await rm(outDir, { recursive: true, force: true });
  }

  async function measure(contestant, nClients, round) {
    const clients = newClients(nClients, Number(options.requests), round, maxTokens);
    const startMain = mainThreadMs(process.pid);
    const startClient = mainThreadMs(child.pid);
    const { ms, betweenMs } = await contestant(clients);
    const mainMs = mainThreadMs(process.pid) - startMain;
    const clientMs = mainThreadMs(child.pid) - startClient;
    const all = clients.flat();
    const nTokens = all.reduce((sum, request) => sum + request.nTokens, 0);
    return {
      ...{ ms: ms / nTokens, mainMs: mainMs / nTokens, clientMs: clientMs / nTokens },
      betweenMs: betweenMs / (nTokens - all.length),
    };
  }

  /**
   * Lengths differ, so that requests do not stay in step, and are the same for all contestants of a round; the number comes
   * first, so that no two prompts share a page of the cache.
   */
  function newClients(nClients, nRequests, round, mean) {
    return Array.from({ length: nClients }, (_, client) =>
      Array.from({ length: nRequests }, (_, i) => {
        const prompt = `${1000 + nPrompts++} is a number. Write about the forests of the north.`;
        const seed = client * nRequests + i + round;
        return { prompt, nTokens: Math.round(mean / 2) + ((seed * 37) % (mean + 1)) };
      }),
    );
  }
}

/** The library and the server, which is not exported. */
async function built(root, outDir) {
  const { build } = await import("tsdown");
  await build({
    ...{ config: false, cwd: root, outDir, format: "esm", platform: "node", dts: false, logLevel: "error" },
    entry: {
      index: join(root, "src/index.ts"),
      server: join(root, "src/server/server.ts"),
      settings: join(root, "src/server/settings.ts"),
    },
  });
  const imported = (file) => import(pathToFileURL(join(outDir, `${file}.mjs`)).href);
  const [{ load }, { startServer }, { defaultSettings: settings }] = await Promise.all([
    imported("index"),
    imported("server"),
    imported("settings"),
  ]);
  return { load, startServer, settings };
}

function quantile(numbers, q) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

function summary(setting, measured) {
  return [...measured].map(([name, runs]) => {
    const median = (key) =>
      quantile(
        runs.map((run) => run[key]),
        0.5,
      );
    const ratios = (key) => {
      const all = runs.map((run, i) => run[key] / (measured.get("library") ?? runs)[i][key]);
      return [0.25, 0.5, 0.75].map((q) => quantile(all, q));
    };
    const times = Object.fromEntries(Object.keys(runs[0]).map((key) => [key, median(key)]));
    return { ...setting, rounds: runs.length, name, ...times, ratio: ratios("ms"), betweenRatio: ratios("betweenMs") };
  });
}

function print(report) {
  const percent = ([low, middle, high]) => {
    const shown = (ratio) => (100 * (ratio - 1)).toFixed(1);
    return `${shown(middle)} (${shown(low)}–${shown(high)}) %`;
  };
  const rows = report.map(
    ({ propose, clients, rounds, name, ms, betweenMs, mainMs, clientMs, ratio, betweenRatio }) => [
      ...[propose, clients, rounds, name, ...[ms, betweenMs, mainMs, clientMs].map((value) => value.toFixed(3))],
      ...[percent(ratio), percent(betweenRatio)],
    ],
  );
  const columns = [
    "propose",
    "clients",
    "rounds",
    "",
    "ms/token",
    "between",
    "main thread",
    "client",
    "all over library",
    "between tokens",
  ];
  for (const row of [columns, ...rows]) {
    console.log(row.map((cell, i) => String(cell).padStart(i < 4 ? 9 : i < 8 ? 13 : 24)).join(""));
  }
}
