import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { fixtures, golden, goldenTensors } from "../../test/support/backend-contract.ts";
import { openGguf } from "../formats/gguf/gguf.ts";
import { writeGguf } from "../formats/gguf/gguf-writer.ts";
import { load } from "./load/load.ts";
import { windowsOf } from "./score.ts";
import type { Model } from "./types.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-score-"));
afterAll(() => rmSync(folder, { recursive: true }));

const quantised = join(fixtures, "gguf/tiny64-Q8_0.gguf");

async function withModel<T>(path: string, work: (model: Model) => Promise<T>, backend?: "native" | "reference") {
  const model = await load(path, { backend, threads: 2, adapter: false });
  try {
    return await work(model);
  } finally {
    await model.dispose();
  }
}

/** Log-softmax of a row of logits, in double. */
function logSoftmax(logits: Float32Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return Float64Array.from(logits, (logit) => logit - largest - Math.log(sum));
}

describe("windows", () => {
  it("score every token once, with at least half a window of context except at the start", () => {
    fc.assert(
      fc.property(fc.nat(300), fc.integer({ min: 2, max: 50 }), fc.constantFrom(0, 1), (length, size, firstScored) => {
        const windows = windowsOf(length, size, firstScored);
        const scored = windows.flatMap(({ scoredFrom, to }) =>
          Array.from({ length: to - scoredFrom }, (_, i) => scoredFrom + i),
        );
        expect(scored).toEqual(Array.from({ length: Math.max(0, length - firstScored) }, (_, i) => firstScored + i));
        for (const [i, { from, to, scoredFrom }] of windows.entries()) {
          expect(to - from).toBeLessThanOrEqual(size);
          expect(scoredFrom - from).toBe(i === 0 ? firstScored : Math.floor(size / 2));
        }
      }),
    );
  });
});

describe("score", () => {
  const models = ["llama-tiny", "llama-rope3", "qwen2-tiny", "qwen3-tiny", "qwen3-sharded"];

  it.each(models.flatMap((name) => (["native", "reference"] as const).map((backend) => ({ name, backend }))))(
    "is that of the logits of transformers: $name, $backend",
    async ({ name, backend }) => {
      const { input_ids: ids, noise } = golden("models", name, "golden.json");
      const logits = goldenTensors("models", name, "golden.safetensors").get("logits") as Float32Array;
      const vocabSize = logits.length / ids.length;
      const { tokens, meanNll, perplexity, nScored } = await withModel(
        join(fixtures, "models", name),
        (model) => model.score({ ids }),
        backend,
      );
      expect(tokens.map(({ token }) => token)).toEqual(ids);
      expect(tokens[0]?.logprob).toBeUndefined();
      // 8 × the noise of a logit, as derived in the fixtures' README; the logarithm of the sum moves by no more.
      const tolerance = 2 * 8 * noise.logits;
      let sum = 0;
      for (let i = 1; i < ids.length; i++) {
        const expected = logSoftmax(logits.subarray((i - 1) * vocabSize, i * vocabSize))[ids[i]] as number;
        expect(Math.abs((tokens[i]?.logprob as number) - expected)).toBeLessThan(tolerance);
        sum -= expected;
      }
      expect(nScored).toBe(ids.length - 1);
      expect(Math.abs(meanNll - sum / nScored)).toBeLessThan(tolerance);
      expect(Math.abs(Math.log(perplexity) - meanNll)).toBeLessThan(1e-12);
    },
  );

  it("has the bits of the log-probabilities that a generation reports", async () => {
    for (const path of [quantised, join(fixtures, "gguf/tiny64-F16.gguf")]) {
      await withModel(path, async (model) => {
        const ids = Array.from({ length: 90 }, (_, i) => 4 + ((i * 37) % 300));
        const written = await model.generate({ ids, maxTokens: 150, temperature: 1.2, seed: 3, logprobs: 0 }).result;
        const { tokens } = await model.score({ ids: [...ids, ...written.tokens] });
        expect(written.tokens.length).toBeGreaterThan(10);
        expect(tokens.slice(ids.length).map(({ logprob }) => logprob)).toEqual(
          written.logprobs?.slice(0, written.tokens.length).map(({ logprob }) => logprob),
        );
      });
    }
  });

  it("has the bits of the log-probabilities of a prompt, beside other requests, too", async () => {
    for (const path of [quantised, join(fixtures, "gguf/tiny64-F16.gguf")]) {
      await withModel(path, async (model) => {
        const prompts = [90, 200, 17].map((length) => Array.from({ length }, (_, i) => 4 + ((i * 41) % 300)));
        const request = { maxTokens: 30, temperature: 1, promptLogprobs: 3 };
        const generations = prompts.map((ids) => model.generate({ ...request, ids }));
        for (const [i, ids] of prompts.entries()) {
          expect(await generations[i]?.promptLogprobs).toEqual((await model.score({ ids, logprobs: 3 })).tokens);
        }
        const alone = await model.generate({ ids: prompts[1] ?? [], maxTokens: 30, temperature: 1 }).result;
        expect((await generations[1]?.result)?.tokens).toEqual(alone.tokens);
      });
    }
  });

  it("of a long text is that of its separate windows", async () => {
    await withModel(quantised, async (model) => {
      const ids = Array.from({ length: 333 }, (_, i) => 4 + ((i * i * 31) % 300));
      const { tokens, nWindows, nScored } = await model.score({ ids, context: 100 });
      const windows = windowsOf(ids.length, 100, 1);
      expect({ nWindows, nScored }).toEqual({ nWindows: windows.length, nScored: 332 });
      for (const { from, to, scoredFrom } of windows) {
        const alone = await model.score({ ids: ids.slice(from, to) });
        expect(tokens.slice(scoredFrom, to)).toEqual(alone.tokens.slice(scoredFrom - from));
      }
    });
  });

  it("puts the BOS token before each window", async () => {
    const path = join(folder, "bos.gguf");
    const file = openGguf(quantised);
    const tensors = [...file.tensors.values()].map(({ name, shape, type, bytes }) => ({
      ...{ name, type, dimensions: [...shape].reverse() },
      data: Uint8Array.from(bytes),
    }));
    writeGguf(path, { metadata: [...file.metadata, ["tokenizer.ggml.add_bos_token", true]], tensors });
    file.close();
    await withModel(path, async (model) => {
      const text = "the cat in the hat and the rest of it";
      const ids = model.tokenize(text);
      const bos = model.tokenizer?.encodePrompt("") ?? [];
      expect(bos).toHaveLength(1);
      const whole = await model.score({ text });
      expect(whole.nScored).toBe(ids.length);
      expect(whole.tokens).toEqual((await model.score({ ids: [...bos, ...ids] })).tokens.slice(1));
      const size = 1 + Math.ceil(ids.length / 2);
      const cut = await model.score({ text, context: size });
      const [first, second] = windowsOf(ids.length, size - 1, 0);
      const alone = await model.score({ ids: [...bos, ...ids.slice(second?.from, second?.to)] });
      expect(cut.tokens.slice(0, first?.to)).toEqual(whole.tokens.slice(0, first?.to));
      expect(cut.tokens.slice(second?.scoredFrom, second?.to)).toEqual(
        alone.tokens.slice(1 + (second?.scoredFrom as number) - (second?.from as number)),
      );
    });
  });

  it("rejects invalid requests, and stops when it is aborted", async () => {
    await withModel(quantised, async (model) => {
      const usage = { code: "usage" };
      for (const request of [{}, { text: "a", ids: [1] }, { ids: [5] }, { text: "" }, { ids: [5, 320] }]) {
        await expect(model.score(request)).rejects.toMatchObject(usage);
      }
      await expect(model.score({ ids: [5, 6], context: 1 })).rejects.toMatchObject(usage);
      await expect(model.score({ ids: [5, 6], context: 513 })).rejects.toMatchObject(usage);
      await expect(model.score({ ids: [5, 6], typo: 1 } as object)).rejects.toMatchObject(usage);
      const controller = new AbortController();
      const onProgress = () => controller.abort();
      const ids = Array.from({ length: 200 }, () => 7);
      await expect(model.score({ ids, onProgress, signal: controller.signal })).rejects.toMatchObject({
        name: "AbortError",
      });
    });
  });

  it("begins while a forward of a generation runs, and a generation while its own does", async () => {
    await withModel(quantised, async (model) => {
      const ids = Array.from({ length: 200 }, (_, i) => 10 + (i % 40));
      const expected = await model.score({ ids });
      const request = { ids: [5, 6, 7], maxTokens: 200, ignoreEos: true };
      for (let i = 0; i < 10; i++) {
        const controller = new AbortController();
        const { result } = model.generate({ ...request, signal: controller.signal });
        // The forward of an aborted generation may still run.
        setTimeout(() => controller.abort(), 1);
        await result.catch(() => {});
        expect(await model.score({ ids })).toEqual(expected);
      }
    });
    await withModel(quantised, async (model) => {
      const ids = Array.from({ length: 200 }, () => 7);
      let generated: PromiseLike<unknown> | undefined;
      const scored = model.score({ ids, onProgress: () => void setImmediate(begin) });
      const begin = () => {
        generated ??= model.generate({ ids: [5], maxTokens: 2 }).result;
      };
      await scored;
      await generated;
      expect(generated).toBeDefined();
    });
  });

  it("ends when the model is disposed of", async () => {
    const model = await load(quantised, { adapter: false });
    let disposed: Promise<void> | undefined;
    const onProgress = () => {
      disposed = model.dispose();
    };
    await expect(model.score({ ids: Array.from({ length: 200 }, () => 7), onProgress })).rejects.toThrow("disposed");
    await disposed;
  });

  it("fails if logits are not finite", async () => {
    await withModel(join(fixtures, "hostile/gguf-nan-weight.gguf"), async (model) => {
      const ids = Array.from({ length: 20 }, (_, i) => 10 + i);
      await expect(model.score({ ids })).rejects.toMatchObject({ code: "not-finite" });
    });
  });
});
