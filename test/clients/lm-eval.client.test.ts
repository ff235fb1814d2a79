import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { collect } from "../../src/cli/terminal/collect-io.ts";
import { load, type Model } from "../../src/index.ts";
import { root } from "../support/doc-examples.ts";
import { hasPythonModule, python } from "../support/python.ts";
import { realModelPath } from "../support/real-model.ts";
import { type StartedServer, startServer } from "../support/started-server.ts";

interface Scores {
  readonly pairs: readonly (readonly [number, boolean])[];
  readonly texts: readonly number[];
  readonly generated: readonly string[];
}

const pairs = [
  ["The capital of France is", " Paris"],
  ["The capital of France is", " Rome, a city on the Tiber"],
  ["Question: is 7 a prime number?\nAnswer:", " yes"],
  ["Bäume und Wälder 🌲:", " la forêt — лес"],
] as const;
const texts = ["A forest is a large area of land that is covered with trees.", "Zwei Wege, «ein» Wald"];

const path = realModelPath();
const isReady = path !== undefined && ["lm_eval", "tenacity"].every(hasPythonModule);

describe.skipIf(!isReady)("lm-eval with local-completions", () => {
  const model = path ?? "";
  let server: StartedServer;
  beforeAll(async () => {
    server = await startServer([model, "--alias", "m"]);
  });
  afterAll(async () => server.stop());

  it("computes the log-likelihoods of `idlm score`, however it sends requests", async () => {
    const all = await scoresOf({ pairs: [...pairs, ["", texts[0]]], texts });
    const loaded = await load(model, { adapter: false });
    const expected = {
      pairs: await Promise.all(pairs.map(async ([context, rest]) => likelihood(context, rest))),
      // Without a context the BOS token is one.
      texts: await Promise.all(texts.map((text) => likelihoodOf(loaded, text))),
      generated: (await loaded.generate({ prompt: pairs[0][0], maxTokens: 12 }).result).text.split("\n\n")[0],
    };
    await loaded.dispose();
    expect(Object.keys(all)).toEqual(["ids", "texts", "batches", "concurrent"]);
    for (const [way, scores] of Object.entries(all)) {
      const values = scores.pairs.map(([value]) => value);
      for (const [i, value] of [...expected.pairs, expected.texts[0]].entries()) {
        expect(values[i], `${way} ${i}`).toBeCloseTo(value as number, 9);
      }
      for (const [i, value] of expected.texts.entries()) expect(scores.texts[i], `${way} ${i}`).toBeCloseTo(value, 9);
      expect(scores.pairs[0]?.[1], way).toBe(true);
      expect(scores.pairs[1]?.[1], way).toBe(false);
      expect(scores.generated[0], way).toBe(expected.generated);
    }
  });

  /** The sum of the log-probabilities of a continuation's tokens in what `idlm score` prints. */
  async function likelihood(context: string, continuation: string): Promise<number> {
    const ids = await tokensOf(context + continuation);
    const nContext = (await tokensOf(context)).length;
    return ids.slice(nContext).reduce((sum, { logprob }) => sum + (logprob ?? 0), 0);
  }

  /** That of a whole text after the model's BOS token, which `idlm score` takes for plain text. */
  async function likelihoodOf(loaded: Model, text: string): Promise<number> {
    const { tokens } = await loaded.score({ ids: loaded.tokenize(`<|im_start|>${text}`, { special: true }) });
    return tokens.reduce((sum, { logprob }) => sum + (logprob ?? 0), 0);
  }

  async function tokensOf(text: string): Promise<readonly { readonly logprob: number | null }[]> {
    const file = join(mkdtempSync(join(tmpdir(), "idlm-lm-eval-")), "text");
    writeFileSync(file, text);
    const { status, stdout, stderr } = await collect(["score", model, "--text", file, "--json"]);
    if (status !== 0) throw new Error(stderr);
    return (JSON.parse(stdout) as { readonly tokens: readonly { readonly logprob: number | null }[] }).tokens;
  }

  function scoresOf(given: unknown): Promise<Readonly<Record<string, Scores>>> {
    const child = spawn(python, [join(root, "test", "clients", "lm-eval-scores.py"), server.url, "m"]);
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdin.end(JSON.stringify(given));
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status) => (status === 0 ? resolve(JSON.parse(stdout)) : reject(new Error(stderr))));
    });
  }
});
