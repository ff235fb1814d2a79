import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openGguf } from "../../formats/gguf/gguf.ts";
import { writeGguf } from "../../formats/gguf/gguf-writer.ts";
import type { EngineModel } from "../engine-model.ts";
import { load } from "./load.ts";
import type { GenerateRequest, Model } from "../types.ts";

const fixtures = join(import.meta.dirname, "../../../test/fixtures");
const llama = join(fixtures, "models/llama-tiny");
const golden = JSON.parse(readFileSync(join(llama, "golden.json"), "utf8")) as {
  input_ids: number[];
  greedy: number[];
};

describe.each(["reference", "native"] as const)("a tiny model on the %s backend", (backend) => {
  let plain: Model;
  let adapted: Model[];
  beforeAll(async () => {
    // One thread: threads of parallel test files would wait for each other.
    plain = await load(llama, { backend, threads: 1 });
    adapted = await Promise.all(
      [0, 1].map((e) => load(llama, { backend, threads: 1, adapter: join(fixtures, `idlm/llama-tiny-entry${e}`) })),
    );
  });
  afterAll(async () => {
    await Promise.all([plain, ...adapted].map((model) => model.dispose()));
  });
  const write = async (model: Model, request: GenerateRequest) => {
    const generation = model.generate(request);
    const tokens: number[] = [];
    for await (const part of generation) tokens.push(...part.tokens);
    const result = await generation.result;
    expect(result.tokens).toEqual(tokens);
    return result;
  };

  it("continues the prompt greedily as PyTorch does", async () => {
    const { tokens, forwards, tokensPerForward, finishReason } = await write(plain, {
      ids: golden.input_ids,
      maxTokens: golden.greedy.length,
      propose: "none",
    });
    expect(tokens).toEqual(golden.greedy);
    expect(forwards).toBe(golden.greedy.length);
    expect(tokensPerForward).toBe(1);
    expect(finishReason).toBe("length");
  });

  it("generates the same tokens with MASK rows and with lookup, at any stride and temperature", async () => {
    const requests = fc.record({
      ids: fc.array(fc.integer({ min: 3, max: 300 }), { minLength: 1, maxLength: 20 }),
      maxTokens: fc.integer({ min: 1, max: 24 }),
      temperature: fc.constantFrom(0, 0.3, 1),
      seed: fc.nat(),
      repetitionPenalty: fc.constantFrom(1, 1.2),
      frequencyPenalty: fc.constantFrom(0, 0.5),
      logprobs: fc.constantFrom(undefined, 2),
    });
    const ways = fc.record({
      entry: fc.constantFrom(0, 1),
      propose: fc.constantFrom("mask" as const, "lookup" as const),
      shape: fc.constantFrom("chain" as const, "quadratic" as const),
      stride: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(requests, ways, async (request, { entry, ...way }) => {
        const expected = await write(plain, { ...request, propose: "none" });
        const found = await write(adapted[entry] as Model, { ...request, ...way });
        expect(found.tokens).toEqual(expected.tokens);
        // The promise of same bits covers the native backend only.
        if (backend === "native") expect(found.logprobs).toEqual(expected.logprobs);
        expect(found.forwards).toBeLessThanOrEqual(expected.forwards);
      }),
      { numRuns: backend === "native" ? 150 : 15 },
    );
  });
});

describe("load", () => {
  const gguf = join(fixtures, "gguf/tiny64-Q8_0.gguf");

  it("generates text for prompts and conversations, from a GGUF with a tokenizer", async () => {
    const model = await load(gguf, { context: 64 });
    expect(model.info).toMatchObject({ architecture: "llama", contextLength: 64, vocabSize: 320 });
    const request = { maxTokens: 20, temperature: 1, seed: 4 };
    const raw = await model.generate({ ...request, prompt: "The cat" }).result;
    expect(raw.promptTokens).toBe(model.tokenizer?.encodePrompt("The cat").length);
    expect(raw.text).toBe(model.detokenize(raw.tokens));
    const messages = [{ role: "user", content: "The cat" }] as const;
    const chat = await model.generate({ ...request, messages }).result;
    expect(chat.promptTokens).toBeGreaterThan(raw.promptTokens);
    expect(model.detokenize(model.tokenize("The cat sat"))).toBe("The cat sat");
    const same = await model.generate({ ...request, messages, propose: "none" }).result;
    expect([chat.text, chat.sha256]).toEqual([same.text, same.sha256]);
    await model.dispose();
  });

  it.each(["native", "reference"] as const)("refuses a tokenizer that it does not know: %s", async (backend) => {
    const path = join(mkdtempSync(join(tmpdir(), "idlm-load-")), "other.gguf");
    const file = openGguf(join(fixtures, "gguf/tiny64-Q8_0.gguf"));
    const tensors = [...file.tensors.values()].map(({ name, shape, type, bytes }) => ({
      ...{ name, type, dimensions: [...shape].reverse() },
      data: Uint8Array.from(bytes),
    }));
    writeGguf(path, { metadata: [...file.metadata, ["tokenizer.ggml.pre", "unheard-of"]], tensors });
    file.close();
    await expect(load(path, { backend, threads: 1 })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("unheard-of"),
    });
    rmSync(dirname(path), { recursive: true });
  });

  it("keeps a session's cache between turns, with the same output", async () => {
    const model = await load(gguf);
    const session = model.session();
    const turns: { role: "user" | "assistant"; content: string }[] = [];
    for (const question of ["One?", "Two?", "Three?"]) {
      turns.push({ role: "user", content: question });
      const request = { messages: turns, maxTokens: 12, temperature: 0.8, seed: 1 };
      const result = await session.generate(request).result;
      expect(result.text).toBe((await model.generate({ ...request, propose: "none" }).result).text);
      expect(result.cachedTokens > 0).toBe(turns.length > 1);
      turns.push({ role: "assistant", content: result.text });
    }
    await session.dispose();
    await model.dispose();
  });

  it("shares weights with a loaded model, which may be disposed of first", async () => {
    const first = await load(llama, { adapter: join(fixtures, "idlm/llama-tiny-entry0") });
    const second = await load(llama, { adapter: false, shareWith: first });
    expect((second as EngineModel).weights.model.sharedWeightBytes).toBeGreaterThan(0);
    const request = { ids: [1, 2, 3], maxTokens: 10 };
    const { tokens } = await first.generate(request).result;
    await first.dispose();
    expect((await second.generate(request).result).tokens).toEqual(tokens);
    await second.dispose();
    await expect(load(llama, { shareWith: {} as Model })).rejects.toThrow(/shareWith: expected a loaded model/);
  });

  it("runs a forest", async () => {
    const model = await load(llama, { adapter: join(fixtures, "idlm/llama-tiny-entry0") });
    const { logits, hidden, draftVocabulary } = await model.forward({
      tokens: [5, 6, -1, 7],
      positions: [0, 1, 2, 0],
      parents: [-1, 0, 1, -1],
      previous: [-1, -1, 9, -1],
    });
    expect(logits.map((row) => row.length)).toEqual([320, 320, 100, 320]);
    expect(hidden.map((row) => row.length)).toEqual([64, 64, 64, 64]);
    expect(draftVocabulary?.length).toBe(100);
    await expect(model.forward({ tokens: [1], positions: [0, 1], parents: [-1] })).rejects.toThrow(
      /positions: expected 1/,
    );
    await expect(model.forward({ tokens: [400], positions: [0], parents: [-1] })).rejects.toThrow(
      /not in the vocabulary/,
    );
    await model.dispose();
  });

  it.each([
    [{ contxt: 1 }, "unknown option contxt"],
    [{ context: 1 }, "context: expected a whole number from 2"],
    [{ context: 1e6 }, "above the model's 256 positions"],
    [{ backend: "gpu" }, "backend: expected native or reference"],
    [{ adapter: "no/such/folder" }, "no/such/folder"],
    [{ adapter: join(fixtures, "peft/qwen3-tiny-lora") }, "does not fit the model"],
  ])("refuses %j", async (options, message) => {
    await expect(load(llama, options as object)).rejects.toThrow(message);
  });

  it("reports a missing model, and stops when it is aborted", async () => {
    await expect(load("no-such-model")).rejects.toThrow(/no such file or folder/);
    await expect(load(llama, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });
});
