import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import type { Backend } from "../src/compute/backend.ts";
import type { LoadedModel } from "../src/compute/loaded-model.ts";
import type { SamplerSettings } from "../src/compute/sampling/settings.ts";
import { createNativeBackend, supportedInstructionSets } from "../src/compute/native/index.ts";
import { createReferenceBackend } from "../src/compute/reference/index.ts";
import type { Proposed, ProposalRequest, ProposeFor } from "../src/compute/sampling/proposal.ts";
import { neutralSettings } from "../src/compute/sampling/settings.ts";
import { FixedPlanner } from "../src/decoding/planners/planner.ts";
import { MedusaProposer } from "../src/decoding/proposers/proposer.ts";
import { readAdapter } from "../src/formats/adapter/adapter.ts";
import { type TensorToWrite, tensorOf, writeSafetensors } from "../src/formats/safetensors/safetensors-writer.ts";
import { compileProgram } from "../src/model/compile.ts";
import { inspectPath } from "../src/model/open/inspect.ts";
import { openModel } from "../src/model/open/open-model.ts";
import { type SequenceSetup, generateCompletions } from "./support/generate-completions.ts";

const fixtures = join(import.meta.dirname, "fixtures");
const folder = mkdtempSync(join(tmpdir(), "idlm-medusa-"));
afterAll(() => rmSync(folder, { recursive: true }));
const N_HEADS = 3;

/** Uniform in −scale … scale, reproducibly. */
function randoms(n: number, seed: number, scale: number): Float32Array<ArrayBuffer> {
  let state = seed;
  return Float32Array.from({ length: n }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 31 - 1) * scale;
  });
}

/** An adapter folder with heads only. */
function headsFolder(name: string, hiddenSize: number, draft?: readonly number[], config: object = {}): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  const tensors = new Map<string, TensorToWrite>(
    Array.from({ length: N_HEADS }, (_, k) => [
      [`medusa.${k}.weight`, tensorOf(randoms(hiddenSize ** 2, k + 1, 0.3), [hiddenSize, hiddenSize])] as const,
      [`medusa.${k}.bias`, tensorOf(randoms(hiddenSize, k + 100, 0.3), [hiddenSize])] as const,
    ]).flat(),
  );
  if (draft !== undefined) tensors.set("draft_vocabulary", tensorOf(Int32Array.from(draft), [draft.length]));
  writeSafetensors(join(path, "idlm.safetensors"), tensors);
  const json = { medusa_heads: N_HEADS, ...(draft && { draft_vocabulary: draft.length }), ...config };
  writeFileSync(join(path, "idlm_config.json"), JSON.stringify(json));
  return path;
}

const models = {
  float: { path: join(fixtures, "models/llama-tiny"), kind: "huggingface", hiddenSize: 64 },
  quantised: { path: join(fixtures, "gguf/tiny256-Q4_1.gguf"), kind: "gguf", hiddenSize: 256 },
} as const;

async function loadWith(backend: Backend, name: keyof typeof models, draft?: readonly number[]): Promise<LoadedModel> {
  const { path, kind, hiddenSize } = models[name];
  const opened = openModel(path, kind);
  try {
    const adapter = readAdapter(headsFolder(`${name}-${draft?.length ?? "all"}`, hiddenSize, draft));
    return await backend.load(compileProgram(opened, { adapter }));
  } finally {
    opened.close();
  }
}

const PROMPT = [5, 9, 30, 31, 7, 100];

/** Hidden states and logits of all heads, at every token of a prompt. */
async function headsOf(model: LoadedModel) {
  const cache = model.createCache(1);
  const nRows = PROMPT.length;
  const result = await model.forward(
    {
      sequences: [{ length: 0, pages: [0] }],
      tokens: Int32Array.from(PROMPT),
      positions: Int32Array.from(PROMPT.keys()),
      parents: Int32Array.from(PROMPT.keys(), (row) => row - 1),
      gate: new Uint8Array(nRows),
      sequence: new Int32Array(nRows),
      needsOutput: new Uint8Array(nRows).fill(1),
    },
    cache,
  );
  const rows = [...PROMPT.keys()];
  const heads = [...Array(N_HEADS).keys()];
  const found = rows.flatMap((row) => heads.map((head) => result.draftLogits({ kind: "head", row, head })));
  const sampler = model.createSampler({ ...neutralSettings, temperature: 0.8, seed: 3 });
  const requestsFor = (proposeFor: ProposeFor) =>
    rows.flatMap((row) =>
      heads.map((head): ProposalRequest => {
        const source = { kind: "head", row, head } as const;
        return { source, sampler, position: row + head + 2, unverified: [], count: 4, proposeFor };
      }),
    );
  const exact = await result.propose(requestsFor("exact"));
  const drawn = await result.propose(requestsFor("rejection"));
  const proposed = exact.map((one, i) => ({ exact: one, drawn: drawn[i] as Proposed }));
  cache.dispose();
  return { found, proposed };
}

describe("Medusa heads", () => {
  it.each([["all", undefined] as const, ["draft", [3, 5, 17, 64, 65, 200, 255, 300]] as const])(
    "give the reference's logits and proposals on the native backend, %s vocabulary",
    async (_, draft) => {
      const reference = await loadWith(createReferenceBackend(), "float", draft);
      const native = await loadWith(createNativeBackend({ threads: 2 }), "float", draft);
      const [expected, found] = [await headsOf(reference), await headsOf(native)];
      for (const [i, logits] of expected.found.entries()) {
        expect(logits.length).toBe(draft?.length ?? reference.program.sizes.vocabSize);
        const own = found.found[i] as Float32Array;
        expect(own.length).toBe(logits.length);
        // Sums of 64 float32 products in another order: 64 · 2^-24 of the sum of their magnitudes, which is below 100.
        for (const [j, logit] of logits.entries()) expect(Math.abs((own[j] as number) - logit)).toBeLessThan(4e-4);
      }
      for (const [i, { exact, drawn }] of expected.proposed.entries()) {
        expect([...(found.proposed[i]?.exact.tokens ?? [])]).toEqual([...exact.tokens]);
        expect([...(found.proposed[i]?.drawn.tokens ?? [])]).toEqual([...drawn.tokens]);
        expect(exact.from).toBe(undefined);
        expect(drawn.from?.tokens.length).toBeGreaterThan(0);
        if (draft !== undefined) for (const token of exact.tokens) expect(draft).toContain(token);
      }
      native.dispose();
      reference.dispose();
    },
  );

  it("have the same bits with every instruction set and number of threads", async () => {
    const all = [];
    for (const instructionSet of supportedInstructionSets()) {
      for (const threads of [1, 2]) {
        const model = await loadWith(createNativeBackend({ instructionSet, threads }), "quantised", [1, 7, 90, 200]);
        all.push((await headsOf(model)).found);
        model.dispose();
      }
    }
    for (const one of all) expect(one).toEqual(all[0]);
  });

  it.each([
    ["native", () => createNativeBackend({ threads: 1 }) as Backend, 40],
    ["reference", createReferenceBackend, 4],
  ])("change no token in exact mode (%s)", async (_, create, numRuns) => {
    const model = await loadWith(create(), "quantised");
    const way = fc.record({
      prompt: fc.array(fc.nat(255), { minLength: 1, maxLength: 20 }),
      stride: fc.integer({ min: 2, max: 6 }),
      temperature: fc.constantFrom(0, 0.7),
      repetitionPenalty: fc.constantFrom(1, 1.2),
      seed: fc.nat(1000),
    });
    await fc.assert(
      fc.asyncProperty(way, async ({ prompt, stride, ...settings }) => {
        const plain = await write(model, prompt, { ...neutralSettings, ...settings }, 1);
        const proposing = await write(model, prompt, { ...neutralSettings, ...settings }, stride);
        expect(proposing.text).toEqual(plain.text);
        // Every round but the first and the last ones has a proposal for each head.
        expect(proposing.proposed[0]).toBeGreaterThan(0);
        expect(proposing.proposed.length).toBeLessThanOrEqual(N_HEADS);
      }),
      { numRuns },
    );
    model.dispose();
  });
});

describe("requests to heads and MASK rows", () => {
  it("are answered together as each by itself", async () => {
    const opened = openModel(models.float.path, "huggingface");
    const own = readAdapter(join(fixtures, "idlm/llama-tiny-entry0"));
    const heads = readAdapter(headsFolder("both", 64)).idlm?.medusaHeads ?? [];
    const adapter = { ...own, idlm: own.idlm && { ...own.idlm, medusaHeads: heads } };
    const model = await createNativeBackend({ threads: 3 }).load(compileProgram(opened, { adapter }));
    opened.close();
    const cache = model.createCache(1);
    const sampler = model.createSampler({ ...neutralSettings, temperature: 0.8, seed: 3 });
    const tokens = [5, 9, 30, -1, -1];
    const run = () => {
      const rows = [...tokens.keys()];
      return model.forward(
        {
          sequences: [{ length: 0, pages: [0] }],
          tokens: Int32Array.from(tokens),
          positions: Int32Array.from(rows),
          parents: Int32Array.from(rows, (row) => row - 1),
          gate: Uint8Array.from(tokens, (token) => (token < 0 ? 1 : 0)),
          sequence: new Int32Array(rows.length),
          needsOutput: new Uint8Array(rows.length).fill(1),
        },
        cache,
      );
    };
    const source = fc.oneof(
      fc.record({ kind: fc.constant("mask" as const), row: fc.integer({ min: 3, max: 4 }), previous: fc.nat(300) }),
      fc.record({ kind: fc.constant("head" as const), row: fc.nat(2), head: fc.nat(N_HEADS - 1) }),
      fc.record({ kind: fc.constant("token" as const), row: fc.nat(2) }),
    );
    const proposeFor = fc.constantFrom("exact" as const, "rejection" as const);
    const call = fc.array(
      fc.record({ source, proposeFor, position: fc.constant(9), count: fc.integer({ min: 1, max: 70 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 4 }), async (calls) => {
        const requestsOf = (one: (typeof calls)[number]) =>
          one.map((request): ProposalRequest => ({ ...request, sampler, unverified: [] }));
        const together = await run();
        const found: (readonly Proposed[])[] = [];
        for (const one of calls) found.push(await together.propose(requestsOf(one)));
        for (const [i, one] of calls.entries()) {
          for (const [j, request] of requestsOf(one).entries()) {
            expect((await (await run()).propose([request]))[0]).toEqual(found[i]?.[j]);
          }
        }
      }),
      { numRuns: 15 },
    );
    model.dispose();
  });
});

async function write(model: LoadedModel, prompt: readonly number[], settings: SamplerSettings, stride: number) {
  const setup: SequenceSetup = {
    ...{ prompt, settings, verification: { mode: "exact" }, maxTokens: 16, maxRun: 0 },
    proposers: [new MedusaProposer()],
    planner: new FixedPlanner("chain", stride),
  };
  const [written] = await generateCompletions(model, [setup], { batch: 1, chunkRows: 16 });
  return { text: written?.tokens ?? [], proposed: written?.proposed ?? [] };
}

describe("a folder of Medusa heads", () => {
  it("needs no LoRA and no MASK rows, and may have both", () => {
    const alone = readAdapter(headsFolder("alone", 64));
    expect(alone.peft).toBe(undefined);
    expect(alone.idlm?.maskEmbedding).toBe(undefined);
    expect(alone.idlm?.medusaHeads.length).toBe(N_HEADS);
    expect(alone.idlm?.medusaHeads[1]?.bias).toEqual(randoms(64, 101, 0.3));
    expect(inspectPath(join(folder, "alone")).adapter).toMatchObject({ medusaHeads: N_HEADS, nModules: 0 });
    const both = join(folder, "both");
    cpSync(join(fixtures, "peft/llama-tiny-lora"), both, { recursive: true });
    headsFolder("both", 64);
    expect(readAdapter(both).peft?.modules.size).toBe(14);
  });

  it.each([
    ["too many heads", { medusa_heads: 17 }, /medusa_heads: expected at most 16, found 17/],
    ["a number that is none", { medusa_heads: "three" }, /medusa_heads: expected a whole number from 0/],
    [
      "more heads than tensors",
      { medusa_heads: 4 },
      /"medusa.3.weight": expected shape \[64, 64\], found no such tensor/,
    ],
    ["fewer heads than tensors", { medusa_heads: 2 }, /tensor "medusa.2.bias": expected .*medusa.1.bias/],
    ["no heads", { medusa_heads: 0 }, /masks: expected a whole number from 1/],
    ["a sampler head", { sampler_head: true }, /sampler_head: expected false without MASK rows/],
    ["an entry layer", { entry_layer: 1 }, /entry_layer: expected 0 without MASK rows/],
    ["MASK rows", { masks: 2 }, /mask_embedding/],
  ])("is refused with %s", (_, config, message) => {
    const path = headsFolder("refused", 64, undefined, config);
    expect(() => readAdapter(path)).toThrow(message);
  });

  it("is rejected with inconsistent shapes, and for a model of another size", async () => {
    const path = headsFolder("shapes", 64);
    const tensors = new Map([
      ["medusa.0.weight", tensorOf(new Float32Array(64 * 64), [64, 64])],
      ["medusa.0.bias", tensorOf(new Float32Array(32), [32])],
    ]);
    writeSafetensors(join(path, "idlm.safetensors"), tensors);
    writeFileSync(join(path, "idlm_config.json"), JSON.stringify({ medusa_heads: 1 }));
    expect(() => readAdapter(path)).toThrow(/medusa.0.weight": expected shape \[32, 32\], found \[64, 64\]/);
    const { path: model, kind } = models.quantised;
    const opened = openModel(model, kind);
    const adapter = readAdapter(headsFolder("small", 64));
    expect(() => compileProgram(opened, { adapter })).toThrow(/Medusa heads are not of hidden size 256/);
    opened.close();
  });
});
