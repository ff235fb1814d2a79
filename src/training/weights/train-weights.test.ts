import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makeModelFolder, tinyModel } from "../../../test/support/model-folder.ts";
import { safetensorsHashes } from "../../../test/support/safetensors-hashes.ts";
import { writeTrainingRows, writeTrainingText } from "../../../test/support/training-text.ts";
import { createNativeBackend } from "../../compute/native/index.ts";
import { load } from "../../index.ts";
import { convertModel } from "../../model/convert-model.ts";
import { openModel } from "../../model/open/open-model.ts";
import type { TrainResult } from "../training-loop.ts";
import { newModel, type StartModel, withMaskToken } from "./start-model.ts";
import { trainWeights, type WeightEvent, type WeightRequest } from "./train-weights.ts";
import type { WeightEvaluation } from "./weight-evaluation.ts";

const root = mkdtempSync(join(tmpdir(), "idlm-weights-"));
const shape = join(root, "shape");
const data = join(root, "data");
makeModelFolder(shape);

writeTrainingText(data, { model: tinyModel, vocabSize: 320, rows: 20, heldOut: 2 });
afterAll(() => rmSync(root, { recursive: true }));

let out = "";
let count = 0;
beforeEach(() => {
  out = join(root, `out${count++}`);
});

interface Options {
  readonly start?: () => StartModel;
  readonly data?: string;
  readonly out?: string;
  readonly settings?: WeightRequest["settings"];
  readonly threads?: number;
  /** The run is stopped after this step. */
  readonly stopAfter?: number;
  readonly events?: WeightEvent[];
  readonly warnings?: string[];
}

const plain = { objective: "plain", steps: 12, batchRows: 80, learningRate: 0.01 } as const;

async function run(options: Options = {}): Promise<TrainResult<WeightEvaluation>> {
  const start = (options.start ?? (() => newModel(join(shape, "config.json"), 3)))();
  const stop = new AbortController();
  try {
    return await trainWeights({
      start,
      backend: createNativeBackend({ threads: options.threads ?? 2 }),
      ...{ data: options.data ?? data, out: options.out ?? out, heldOutRows: 4 },
      settings: options.settings ?? plain,
      ...{ checkpointEvery: 4, keepCheckpoints: 2, program: { idlm: "test" }, signal: stop.signal },
      onWarning: (message) => options.warnings?.push(message),
      onEvent: (event) => {
        options.events?.push(event);
        if (event.kind === "step" && event.step === options.stopAfter) stop.abort();
      },
    });
  } finally {
    start.opened.close();
  }
}

const lossesOf = (events: readonly WeightEvent[]) =>
  events.flatMap((event) => (event.kind === "step" ? [event.loss] : []));
const bits = (folder: string) => safetensorsHashes(folder)["model.safetensors"];

describe("training of a new model", () => {
  it("lowers the loss, and writes a folder that loads", async () => {
    const events: WeightEvent[] = [];
    const result = await run({ events });
    expect(result.status).toBe("finished");
    const losses = lossesOf(events);
    expect(losses[0]).toBeGreaterThan(5);
    expect(losses.at(-1)).toBeLessThan(0.8 * (losses[0] as number));
    expect(result.evaluation?.loss).toBeLessThan(losses[0] as number);
    const model = await load(out);
    const { sha256 } = await model.generate({ messages: [{ role: "user", content: "Hello" }], maxTokens: 4 }).result;
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    await model.dispose();
    expect(await run()).toMatchObject({ status: "already finished" });
  });

  it("gives the same bytes with any number of threads, and after being stopped", async () => {
    await run({ threads: 1 });
    const expected = bits(out);
    const stopped = join(root, "stopped");
    expect((await run({ out: stopped, threads: 3, stopAfter: 3 })).status).toBe("stopped");
    expect((await run({ out: stopped, threads: 1, stopAfter: 9 })).status).toBe("stopped");
    expect((await run({ out: stopped, threads: 2 })).status).toBe("finished");
    expect(bits(stopped)).toEqual(expected);
  });

  it("refuses other settings and data, a config elsewhere, and chats that do not fit", async () => {
    await run({ stopAfter: 2 });
    await expect(run({ settings: { ...plain, learningRate: 0.1 } })).rejects.toThrow(/with learningRate 0.01, not 0.1/);
    expect(() => newModel(join(shape, "tokenizer.json"), 0)).toThrow(/expected the path of a config.json/);
    const bare = join(root, "bare");
    cpSync(shape, bare, { recursive: true });
    rmSync(join(bare, "tokenizer.json"));
    expect(() => newModel(join(bare, "config.json"), 0)).toThrow(/tokenizer.json: no such file/);
    const row = { source: "a", split: "train", temperature: 0, finish: "end", ids: [], response_mask: [] };
    const write = (messages: unknown) => writeTrainingRows(join(root, "bad"), tinyModel, [{ ...row, messages }]);
    write([{ role: "user", content: "Hi" }]);
    const bad = { data: join(root, "bad"), out: join(root, "never") };
    await expect(run(bad)).rejects.toThrow(/line 1, messages: expected messages that end with an answer/);
    write([
      { role: "user", content: "Hi" },
      { role: "assistant", content: "word ".repeat(2000) },
    ]);
    const warnings: string[] = [];
    await expect(run({ ...bad, warnings })).rejects.toThrow(/at least one of split train with a response/);
    expect(warnings.join()).toMatch(/1 of 1 chats are longer than the context/);
  });

  it("stops at a loss that is not finite, with the checkpoints before it", async () => {
    const wild = { ...plain, learningRate: 1e30 };
    await expect(run({ settings: wild })).rejects.toMatchObject({ code: expect.stringMatching(/not-finite|diverged/) });
    expect(existsSync(join(out, "model.safetensors"))).toBe(false);
  });
});

describe("introspective diffusion training", () => {
  const base = join(root, "base");
  beforeAll(async () => {
    await run({ out: base, settings: { ...plain, store: "f32" } });
  });
  const converted = () => withMaskToken(openModel(base, "huggingface"), "base", "0".repeat(64));
  const full = { objective: "full", masks: 3, steps: 9, batchRows: 80, learningRate: 0.005 } as const;

  it("trains MASKs in growing blocks, and adds a MASK token", async () => {
    const events: WeightEvent[] = [];
    const { evaluation } = await run({ start: converted, settings: full, events });
    const depths = events.flatMap((event) => (event.kind === "step" ? [event.survival.length] : []));
    expect(depths).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
    expect(evaluation?.masks?.survival).toHaveLength(3);
    const json = (name: string) => JSON.parse(readFileSync(join(out, name), "utf8"));
    expect(json("config.json")).toMatchObject({ mask_token_id: 320, vocab_size: 321 });
    expect(json("added_tokens.json")).toEqual({ "<|MASK|>": 320 });
    expect(json("tokenizer.json").added_tokens.at(-1)).toMatchObject({ id: 320, content: "<|MASK|>" });
    const model = openModel(out, "huggingface");
    expect(withMaskToken(model, "again", "")).toMatchObject({ maskToken: 320, opened: { config: { vocabSize: 321 } } });
    model.close();
  });

  it("gives a model that verifies its own proposals at any stride, as a folder and as GGUF", async () => {
    await run({ start: converted, settings: full });
    const gguf = join(root, "converted.gguf");
    await convertModel(out, gguf, "BF16");
    const shas = [];
    for (const path of [out, gguf]) {
      const model = await load(path);
      const messages = [{ role: "user", content: "What is number 4?" }] as const;
      const generate = (options: object) => model.generate({ messages, maxTokens: 12, seed: 5, ...options }).result;
      const { sha256 } = await generate({ propose: "none" });
      for (const stride of [2, 3, 4, 8]) {
        const exact = await generate({ propose: "mask", stride, verify: "exact" });
        expect(exact.sha256).toBe(sha256);
        const rejection = await generate({ propose: "mask", stride, verify: "rejection", temperature: 1 });
        expect(rejection.tokens.length).toBeGreaterThan(0);
      }
      shas.push(sha256);
      await model.dispose();
    }
    expect(shas[1]).toBe(shas[0]);
  });

  it("refuses models whose weights it cannot train", () => {
    const gguf = openModel(tinyModel, "gguf");
    expect(() => withMaskToken(gguf, "tiny", "")).toThrow(/trains all weights, and this is a GGUF file/);
    gguf.close();
  });
});
