import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chain, fixtures, forestOf, golden, loadFixture } from "../../../test/support/backend-contract.ts";
import { readAdapter } from "../../formats/adapter/adapter.ts";
import { layOutForest } from "../forest/layout.ts";
import { neutralSettings } from "../sampling/settings.ts";
import { type NativeCache, type NativeSampler, nativeBinding } from "./binding.ts";
import { createNativeBackend } from "./index.ts";
import type { NativeLoadedModel } from "./loaded-model.ts";

const special = fc.constantFrom(
  -(2 ** 31),
  -17,
  -2,
  -1,
  0,
  1,
  2,
  16,
  255,
  320,
  1024,
  65_536,
  2 ** 20,
  2 ** 30,
  2 ** 31 - 1,
);
const number = fc.oneof(special, fc.integer());
/** Numbers changed at a few places, and one end or the other. */
const changes = fc.record({
  at: fc.array(fc.tuple(fc.nat(), number), { maxLength: 3 }),
  length: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: -3, max: 3 })),
});

function changed(values: ArrayLike<number>, { at, length }: { at: [number, number][]; length: number }): number[] {
  const out = Array.from(values);
  for (const [place, value] of at) out[place % out.length] = value;
  return length < 0 ? out.slice(0, length) : [...out, ...new Array(length).fill(0)];
}

// What TypeScript never sends. Native code refuses it or computes something with it, within its memory; a run with
// sanitisers (npm run test:sanitize) looks closer.
describe("native code", () => {
  const { forest: arrays } = golden("idlm", "llama-tiny-entry0", "golden.json");
  const forest = forestOf(arrays);
  let model: NativeLoadedModel;
  let cache: NativeCache;
  let sampler: NativeSampler;

  beforeAll(async () => {
    const adapter = readAdapter(join(fixtures, "idlm/llama-tiny-entry0"));
    const backend = createNativeBackend({ threads: 2 });
    model = (await loadFixture(backend, "models/llama-tiny", "huggingface", { adapter })) as NativeLoadedModel;
    cache = model.handle.createCache(8);
    const { logitBias: _, ...settings } = neutralSettings;
    sampler = new (nativeBinding().Sampler)({
      ...{ ...settings, temperature: 1, logprobs: 3 },
      ...{ biasTokens: new Int32Array(), biasValues: new Float32Array() },
    });
  });
  afterAll(() => model.dispose());

  const layout = () => layOutForest(forest, model.program, 8).data;
  const maskRow = forest.tokens.indexOf(-1);
  const tokenRow = forest.tokens.findIndex((token, row) => token >= 0 && forest.needsOutput[row] === 1);
  /** A draw, and a lookahead from the first run of MASK rows. */
  const sampling = [...[1, tokenRow, 0, 5, -1, -1, 0], ...[1, 0, 4, 0, 1, 2, 0, 1, -1, 5, maskRow, 1]];
  /** Two proposals. */
  const proposals = [...[2, 0, maskRow, 7, 0, 5, -1, 4, 0, 0], ...[2, tokenRow, 0, 0, 5, -1, 4, 1, 1, 3]];

  /** Refused by what reads it, or by what checks it off the event loop. */
  const outcome = async (run: () => Promise<unknown>) => {
    let running: Promise<unknown> | undefined;
    try {
      running = run();
      await running;
      return "done";
    } catch (error) {
      expect((error as Error).message).not.toBe("");
      return running === undefined ? "refused" : "failed";
    }
  };

  it("takes the numbers that the following tests change", async () => {
    await model.handle.forward(layout(), cache, Float64Array.from(sampling), [sampler], undefined, undefined);
    await model.handle.propose(Float64Array.from(proposals), [sampler], undefined);
  });

  it("takes any layout and any requests, or refuses them", async () => {
    const outcomes = new Set<string>();
    await fc.assert(
      fc.asyncProperty(changes, changes, changes, number, async (forLayout, forSampling, forProposals, row) => {
        const { handle } = model;
        const numbers = Float64Array.from(changed(sampling, forSampling));
        const data = Int32Array.from(changed(layout(), forLayout));
        const ran = await outcome(() => handle.forward(data, cache, numbers, [sampler], undefined, undefined));
        outcomes.add(`forward ${ran}`);
        const packed = Float64Array.from(changed(proposals, forProposals));
        const proposed = await outcome(() => handle.propose(packed, [sampler], undefined));
        outcomes.add(`propose ${proposed}`);
        if (ran === "failed") expect(() => handle.logits(row)).toThrow("has no output");
        await outcome(async () => [handle.hidden(row), handle.logits(row), handle.draftLogits(0, row, row)]);
      }),
      { numRuns: 500 },
    );
    for (const name of ["forward", "propose"])
      for (const how of ["done", "failed", "refused"]) expect(outcomes).toContain(`${name} ${how}`);
  });

  it("refuses the KV cache of another model", async () => {
    const other = await loadFixture(createNativeBackend({ threads: 1 }), "models/qwen3-tiny", "huggingface");
    const foreign = (other as NativeLoadedModel).handle.createCache(8);
    const run = model.handle.forward(layout(), foreign, new Float64Array(), [], undefined, undefined);
    await expect(run).rejects.toThrow("the KV cache is another model's");
    expect(() => model.moveKv(foreign, [0], [0], [1])).toThrow("the KV cache is another model's");
    other.dispose();
  });

  it("refuses changes to a sampler while a forward reads it", async () => {
    const running = model.handle.forward(layout(), cache, Float64Array.from(sampling), [sampler], undefined, undefined);
    expect(() => sampler.accept(5)).toThrow("a forward reads this sampler");
    expect(() => sampler.prompt(Int32Array.of(5))).toThrow("a forward reads this sampler");
    await running;
    sampler.accept(5);
    const proposing = model.handle.propose(Float64Array.from(proposals), [sampler], undefined);
    expect(() => sampler.accept(5)).toThrow("a forward reads this sampler");
    await proposing;
    sampler.accept(5);
  });

  it("has no results of a forward after the next one began, even if that failed", async () => {
    const run = (on: NativeCache) => model.forward(chain([1, 2], 0, [0]), on);
    const first = await run(cache);
    const running = run(cache);
    expect(() => first.logits(1)).toThrow("results of a forward after the next one");
    const second = await running;
    expect(second.logits(1)).toHaveLength(model.program.sizes.vocabSize);
    const other = await loadFixture(createNativeBackend({ threads: 1 }), "models/qwen3-tiny", "huggingface");
    await expect(run((other as NativeLoadedModel).handle.createCache(8))).rejects.toThrow("another model's");
    expect(() => second.logits(1)).toThrow("results of a forward after the next one");
    other.dispose();
  });
});
