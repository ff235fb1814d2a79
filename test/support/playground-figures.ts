import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type Interval, median, medianInterval } from "../../src/bench/statistics.ts";
import { launchChromium } from "./browser.ts";
import { playgroundPage } from "./playground-page.ts";
import { longText, startReplayServer } from "./replay-server.ts";

const LOADS = 9;
const TOKENS_PER_SECOND = 300;

/** Figures of the page in Chromium, without a model: first paint, and frames while a recorded stream is replayed. */
export async function pageFigures() {
  const [browser, html] = await Promise.all([launchChromium(), playgroundPage()]);
  const text = longText(1500);
  const server = await startReplayServer(html, { tokensPerSecond: TOKENS_PER_SECOND, text });
  try {
    const paints: number[] = [];
    for (let i = 0; i < LOADS; i++) {
      const page = await browser.newPage();
      await page.goto(server.url);
      paints.push(
        await page.evaluate<number>(`new Promise((resolve) => new PerformanceObserver((list) => {
          const [found] = list.getEntriesByName("first-contentful-paint");
          if (found) resolve(found.startTime);
        }).observe({ type: "paint", buffered: true }))`),
      );
      await page.close();
    }
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    await page.goto(server.url);
    await page.evaluate(
      "self.frameTimes = []; requestAnimationFrame(function step(now) { frameTimes.push(now); requestAnimationFrame(step); })",
    );
    await page.locator("#composer").fill("Replay.");
    await page.keyboard.press("Enter");
    await page.locator(".message .token").first().waitFor();
    const first = await page.evaluate<number>("frameTimes.length");
    await page.getByText(/SHA-256/).waitFor();
    const times = (await page.evaluate<number[]>("frameTimes")).slice(first);
    const gaps = times.slice(1).map((time, i) => time - (times[i] as number));
    gaps.sort((a, b) => a - b);
    return {
      firstPaintMs: median(paints),
      framesPerSecond: (1000 * gaps.length) / gaps.reduce((sum, gap) => sum + gap, 0),
      slowFrameMs: gaps[Math.floor(0.99 * gaps.length)] ?? 0,
    };
  } finally {
    await browser.close();
    await server.close();
  }
}

/** What records add to a stream: ratios of neighbouring streams with and without them. */
export interface RecordCost {
  /** From the first token to the end. */
  readonly time: Interval;
  /** CPU time of the server's JavaScript, as a share of the time of a stream without records; kernels have other threads. */
  readonly cpu: Interval;
}

const WITH_ROUNDS = { idlm: { rounds: true } };
/** Of a stream: none, those of rounds, and all that the page asks for. */
const records = [{}, WITH_ROUNDS, { ...WITH_ROUNDS, logprobs: true, top_logprobs: 5 }] as const;

/** What records cost, over HTTP, with the built server and the real model. Streams with and without them take turns. */
export async function recordCosts(nTurns: number): Promise<{ readonly rounds: RecordCost; readonly page: RecordCost }> {
  const server = spawn(process.execPath, [...SERVE], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    const [line] = (await once(server.stdout, "data")) as [Buffer];
    const { url } = JSON.parse(line.toString()) as { readonly url: string };
    // The model is loaded, the prompt is in the prefix cache, and all code paths are compiled.
    for (let i = 0; i < WARM_UPS; i++) for (const record of records) await costOf(url, server.pid, record);
    const ratios = records.map(() => ({ time: [] as number[], cpu: [] as number[] }));
    for (let turn = 0; turn < nTurns; turn++) {
      // Each of the three is first, second and third equally often.
      const order = records.map((_, i) => (i + turn) % records.length);
      const costs = new Map<number, StreamCost>();
      for (const i of order) costs.set(i, await costOf(url, server.pid, records[i] ?? {}));
      const plain = costs.get(0);
      for (const [i, { time, cpu }] of ratios.entries()) {
        const cost = costs.get(i);
        if (plain === undefined || cost === undefined) continue;
        time.push(cost.ms / plain.ms);
        cpu.push(1 + (cost.cpuMs - plain.cpuMs) / plain.ms);
      }
    }
    const [, rounds, page] = ratios.map(({ time, cpu }) => ({ time: medianInterval(time), cpu: medianInterval(cpu) }));
    if (rounds === undefined || page === undefined) throw new Error("nothing was measured");
    return { rounds, page };
  } finally {
    server.kill("SIGKILL");
  }
}

const WARM_UPS = 3;
const SERVE = [
  ...["dist/cli/main.js", "serve", "smollm2-135m-instruct", "--port", "0", "--json", "--log-level", "silent"],
] as const;

interface StreamCost {
  readonly ms: number;
  readonly cpuMs: number;
}

async function costOf(url: string, pid: number | undefined, record: object): Promise<StreamCost> {
  const body = {
    ...{ model: "smollm2-135m-instruct", stream: true, temperature: 0, max_tokens: 100, propose: "mask", stride: 3 },
    messages: [{ role: "user", content: "Give me three tips for staying healthy." }],
    ...record,
  };
  const startCpu = cpuMsOf(pid);
  const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok || response.body === null) throw new Error(`status ${response.status}: ${await response.text()}`);
  let startMs: number | undefined;
  for await (const _ of response.body) startMs ??= performance.now();
  return { ms: performance.now() - (startMs ?? 0), cpuMs: cpuMsOf(pid) - startCpu };
}

/** CPU time of the thread that runs JavaScript, in milliseconds (Linux: the first field of schedstat, in nanoseconds). */
function cpuMsOf(pid: number | undefined): number {
  const [ns] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ");
  return Number(ns) / 1e6;
}
