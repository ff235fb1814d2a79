import { spawn } from "node:child_process";
import { once } from "node:events";
import { median, medianInterval } from "../../src/bench/statistics.ts";
import { launchChromium } from "./browser.ts";
import { playgroundPage } from "./playground-page.ts";
import { longText, startReplayServer } from "./replay-server.ts";

const LOADS = 9;
const TOKENS_PER_SECOND = 300;
const PAIRS = 15;

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

/** How much longer a stream takes with a record of every round, over HTTP, with the built server and the real model. */
export async function roundsCost() {
  const server = spawn(process.execPath, [...SERVE], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    const [line] = (await once(server.stdout, "data")) as [Buffer];
    const { url } = JSON.parse(line.toString()) as { readonly url: string };
    // The model is loaded, and the prompt is in the prefix cache.
    await streamMs(url, false);
    const ratios: number[] = [];
    for (let pair = 0; pair < PAIRS; pair++) {
      const order = pair % 2 === 0 ? [false, true] : [true, false];
      const times = new Map<boolean, number>();
      for (const rounds of order) times.set(rounds, await streamMs(url, rounds));
      ratios.push((times.get(true) ?? 0) / (times.get(false) ?? 1));
    }
    return medianInterval(ratios);
  } finally {
    server.kill("SIGKILL");
  }
}

const SERVE = [
  ...["dist/cli/main.js", "serve", "smollm2-135m-instruct", "--port", "0", "--json", "--log-level", "silent"],
] as const;

/** Milliseconds from the first token to the end of a stream. */
async function streamMs(url: string, rounds: boolean): Promise<number> {
  const body = {
    ...{ model: "smollm2-135m-instruct", stream: true, temperature: 0, max_tokens: 100, propose: "mask", stride: 3 },
    messages: [{ role: "user", content: "Give me three tips for staying healthy." }],
    ...(rounds && { idlm: { rounds: true } }),
  };
  const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: JSON.stringify(body) });
  if (!response.ok || response.body === null) throw new Error(`status ${response.status}: ${await response.text()}`);
  let startMs: number | undefined;
  for await (const _ of response.body) startMs ??= performance.now();
  return performance.now() - (startMs ?? 0);
}
