import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { load } from "../../index.ts";
import { collect } from "../terminal/collect-io.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/", import.meta.url));
const model = join(fixtures, "gguf/tiny64-Q8_0.gguf");
const folder = mkdtempSync(join(tmpdir(), "idlm-score-"));
afterAll(() => rmSync(folder, { recursive: true }));

const text = "the cat sat on the mat, naïve as it was. ".repeat(3);
const path = file("text.txt", text);

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

async function json(argv: readonly string[], settings = {}) {
  const { status, stdout, stderr } = await collect([...argv, "--json"], settings);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout);
}

/** Mean NLL of ids from the logits of the library's forward, in double precision. */
async function meanNllOf(ids: readonly number[]): Promise<number> {
  const loaded = await load(model, { adapter: false });
  const positions = [...ids.keys()];
  const { logits } = await loaded.forward({ tokens: ids, positions, parents: positions.map((i) => i - 1) });
  await loaded.dispose();
  let sum = 0;
  for (const [i, row] of logits.slice(0, -1).entries()) {
    const total = row.reduce((all, logit) => all + Math.exp(logit), 0);
    sum += Math.log(total) - (row[ids[i + 1] as number] as number);
  }
  return sum / (ids.length - 1);
}

describe("idlm score", () => {
  it("gives mean NLL, perplexity and each token's log-probability", async () => {
    const result = await json(["score", model, "--text", path]);
    const { ids, pieces } = await json(["tokenize", model, text]);
    expect(result.tokens.map(({ token }: { token: number }) => token)).toEqual(ids);
    expect(result.tokens.map(({ piece }: { piece: string }) => piece)).toEqual(pieces);
    expect(result.tokens[0].logprob).toBeNull();
    const logprobs = result.tokens.slice(1).map(({ logprob }: { logprob: number }) => logprob);
    const mean = -logprobs.reduce((a: number, b: number) => a + b) / logprobs.length;
    expect(result.meanNll).toBeCloseTo(mean, 12);
    expect(result.perplexity).toBeCloseTo(Math.exp(mean), 9);
    expect(result).toMatchObject({ tokenCount: ids.length, scoredTokens: ids.length - 1, windows: 1, context: 512 });
    const nBytes = Buffer.byteLength(text) - Buffer.byteLength(pieces[0]);
    expect(result.bitsPerByte).toBeCloseTo((mean * logprobs.length) / Math.LN2 / nBytes, 9);
    // float32 logarithms compared with doubles.
    expect(Math.abs(result.meanNll - (await meanNllOf(ids)))).toBeLessThan(1e-5);
  });

  it("prints the results, and reads standard input", async () => {
    const { meanNll, perplexity } = await json(["score", model, "--text", path]);
    const { status, stdout, stderr } = await collect(["score", model, "--text", "-"], { stdin: text });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain(meanNll.toFixed(4));
    expect(stdout).toContain(perplexity.toFixed(3));
  });

  it("splits a text longer than the context into windows, the first of which has the same bits", async () => {
    const whole = await json(["score", model, "--text", path]);
    const cut = await json(["score", model, "--text", path, "--context", "40"]);
    expect(cut.windows).toBe(1 + Math.ceil((whole.tokenCount - 40) / 20));
    expect(cut.scoredTokens).toBe(whole.scoredTokens);
    expect(cut.tokens.slice(0, 40)).toEqual(whole.tokens.slice(0, 40));
    expect(cut.meanNll).not.toBe(whole.meanNll);
    const terminal = await collect(["score", model, "--text", path, "--context", "40"], { tty: true });
    expect(terminal.stderr).toContain("scoring");
    expect(terminal.stderr.endsWith("\r\x1b[2K")).toBe(true);
  });

  it("rejects what cannot be scored", async () => {
    const refused = async (argv: readonly string[], status: number, message: string) => {
      const result = await collect(["score", ...argv]);
      expect(result).toMatchObject({ status, stdout: "" });
      expect(result.stderr).toContain(message);
    };
    await refused([model], 2, "--text");
    await refused([model, "--text", join(folder, "none.txt")], 3, "no such file");
    await refused([model, "--text", file("empty.txt", "")], 2, "too few to score");
    await refused([model, "--text", file("binary.txt", Uint8Array.of(0xff, 0xfe))], 3, "UTF-8");
    await refused([join(fixtures, "models/llama-tiny"), "--text", path], 2, "has no tokenizer");
    await refused([model, "--text", path, "--context", "1"], 2, "context");
  });

  it("exits with 130 at Ctrl-C", async () => {
    const long = file("long.txt", "the cat ".repeat(3000));
    let presses = 0;
    const { status, stdout } = await collect(["score", model, "--text", long], {
      tty: true,
      onStderr: (shown: string, interrupt: () => void) => {
        if (shown.includes("scoring") && presses++ === 0) interrupt();
      },
    });
    expect({ status, stdout }).toEqual({ status: 130, stdout: "" });
  });
});
