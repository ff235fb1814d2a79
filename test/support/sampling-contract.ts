import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Backend } from "../../src/compute/backend.ts";
import type { Forest } from "../../src/compute/forest/forest.ts";
import type { ForwardResult, LoadedModel } from "../../src/compute/loaded-model.ts";
import type { ProposalRequest, Proposed, ProposeFor } from "../../src/compute/sampling/proposal.ts";
import { SampledModel } from "../../src/compute/sampling/sampled-model.ts";
import type { Sampler } from "../../src/compute/sampling/sampler.ts";
import { neutralSettings, type SamplerSettings } from "../../src/compute/sampling/settings.ts";
import { layOut, PENDING, type Proposal, type RoundPlan, verify } from "../../src/decoding/round/round.ts";
import { readAdapter } from "../../src/formats/adapter/adapter.ts";
import { fixtures, forestOf, golden, loadFixture, runForest } from "./backend-contract.ts";
import { mix } from "./fake-cache.ts";
import { maskOf } from "./sampling-statistics.ts";

const kinds: readonly Partial<SamplerSettings>[] = [
  { temperature: 0 },
  { temperature: 1, seed: 4 },
  { temperature: 0.6, seed: 2 ** 40, topP: 0.9 },
  { temperature: 1.2, topK: 20, minP: 0.01, repetitionPenalty: 1.4, presencePenalty: 0.5 },
];

/** The contract of sampling, in plain TypeScript or native. Each backend's test calls this. */
export function describeSampling(name: string, create: () => Backend): void {
  describe.each(["llama-tiny-entry0", "llama-tiny-entry1"])(`${name}: the contract of sampling, %s`, (folder) => {
    const { forest: arrays } = golden("idlm", folder, "golden.json");
    const forest = forestOf(arrays);
    let model: LoadedModel;
    beforeAll(async () => {
      const adapter = readAdapter(join(fixtures, "idlm", folder));
      model = await loadFixture(create(), "models/llama-tiny", "huggingface", { adapter });
    });
    afterAll(() => model.dispose());

    it("answers many requests at once like each separately, and like the reference", async () => {
      const plain = new SampledModel(model);
      const expected = await (await runForest(plain, forest)).propose(manyRequests(plain, forest, arrays.previous));
      const result = await runForest(model, forest);
      const requests = manyRequests(model, forest, arrays.previous);
      const found = await result.propose(requests);
      expect(found.map(tokensOf)).toEqual(expected.map(tokensOf));
      for (const [i, { confidences, from }] of found.entries()) {
        for (const [j, share] of confidences.entries()) expect(share).toBeCloseTo(expected[i]?.confidences[j] ?? 2, 4);
        expect(from === undefined).toBe(expected[i]?.from === undefined);
      }
      // Bit for bit, independent of the other requests.
      for (const [i, request] of requests.entries()) {
        if (i % 7 === 0) expect(await result.propose([request])).toEqual([found[i]]);
      }
      expect(await result.propose([])).toEqual([]);
    });

    it.each(["exact", "rejection"] as const)("makes the same proposals in advance, %s", async (mode) => {
      let ahead = 0;
      for (const [seed, settings] of kinds.entries()) {
        const found = await proposalsOf(model, { ...neutralSettings, ...settings }, mode, seed, true);
        expect(found).toEqual(await proposalsOf(model, { ...neutralSettings, ...settings }, mode, seed, false));
        ahead += found.length;
      }
      expect(ahead).toBeGreaterThan(10);
    });

    it("rejects requests that do not fit their rows", async () => {
      const result = await runForest(model, forest);
      const sampler = model.createSampler(neutralSettings);
      const request = { sampler, position: 9, unverified: [], count: 1, proposeFor: "exact" } as const;
      await expect(result.propose([{ ...request, source: { kind: "head", row: 0, head: 0 } }])).rejects.toThrow(/head/);
      const beyond = { ...request, source: { kind: "mask", row: arrays.tokens.length, previous: 1 } } as const;
      await expect(result.propose([beyond])).rejects.toThrow(/row/);
    });
  });
}

function tokensOf({ tokens }: Proposed): number[] {
  return [...tokens];
}

/** Requests to every MASK row and some token rows, of several samplers, for both kinds of verification. */
function manyRequests(model: LoadedModel, forest: Forest, previous: readonly number[]): ProposalRequest[] {
  const { vocabSize } = model.program.sizes;
  const someAllowed = maskOf(
    Array.from({ length: vocabSize }, (_, id) => id).filter((id) => id % 3 > 0),
    vocabSize,
  );
  return kinds.flatMap((kind, k) => {
    const sampler = model.createSampler({ ...neutralSettings, ...kind });
    sampler.prompt(Int32Array.of(5, 9, 30));
    sampler.accept(7);
    return (["exact", "rejection"] as const).flatMap((proposeFor) =>
      Array.from(forest.tokens, (token, row): ProposalRequest => {
        const source =
          token === -1
            ? ({ kind: "mask", row, previous: previous[row] as number } as const)
            : ({ kind: "token", row } as const);
        const position = (forest.positions[row] as number) + 1 + k;
        const common = { source, sampler, position, unverified: [row % 11], count: 1 + (row % 5), proposeFor };
        return row % 4 === 0 ? { ...common, allowed: someAllowed } : common;
      }).filter((_, row) => forest.tokens[row] === -1 || row % 8 === k),
    );
  });
}

/** Runs a round with a tree and MASK runs, and proposes three levels after its end. */
async function proposalsOf(
  model: LoadedModel,
  settings: SamplerSettings,
  proposeFor: ProposeFor,
  seed: number,
  isAhead: boolean,
): Promise<unknown[]> {
  const prompt = [5, 9, 30, 31, 7];
  const cache = model.createCache(6);
  const samplers: Sampler[] = [];
  const plans = [0, 1, 2].map((i): RoundPlan => {
    const sampler = model.createSampler(settings);
    sampler.prompt(Int32Array.from(prompt));
    samplers.push(sampler);
    const token = (rank: number) => (mix(seed, 10 * i + rank) % 300) + 1;
    const proposals = [-1, 0, 0, -1].map((parent, rank): Proposal => {
      return { token: token(rank), parent, source: "mask", rank, confidence: 0.5, from: undefined };
    });
    return {
      ...{ sequence: { length: 0, pages: [i, i + 3] }, pending: prompt, proposals, maskRuns: [3, 2, 3, 0, 1], sampler },
      verification: { mode: proposeFor },
      lookaheads: isAhead ? [{ kind: "mask", widths: [1, 2, 2], count: 3, nHeads: 0 }] : [],
    };
  });
  // The draws of the first round are accepted in the second one, so that verification ends below them.
  const first = await run(model, plans, cache);
  const again = plans.map((plan, i): RoundPlan => {
    const [one] = verify(plan.proposals, first.drawnAt(i)).drawn;
    const proposals = plan.proposals.map((proposal, j) =>
      j === 0 ? { ...proposal, token: one?.token ?? 0 } : proposal,
    );
    return i === 0 ? plan : { ...plan, proposals };
  });
  const { result, rows, drawnAt } = await run(model, again, cache);
  const found: unknown[] = [];
  for (const [i, plan] of again.entries()) {
    const { path, drawn } = verify(plan.proposals, drawnAt(i));
    const tokens = drawn.map(({ token }) => token);
    for (const token of tokens) samplers[i]?.accept(token);
    const anchor = path.at(-1) ?? PENDING;
    const row = rows[i]?.maskRows[anchor + 1] ?? -1;
    const longest = plan.maskRuns[anchor + 1] ?? 0;
    const request = async (unverified: readonly number[]): Promise<void> => {
      if (unverified.length >= longest) return;
      const [proposed] = await result.propose([
        {
          source: {
            kind: "mask",
            row: row + unverified.length,
            previous: unverified.at(-1) ?? (tokens.at(-1) as number),
          },
          sampler: samplers[i] as Sampler,
          ...{ position: prompt.length + tokens.length + unverified.length, unverified, count: 2, proposeFor },
        },
      ]);
      found.push([i, unverified, proposed]);
      for (const token of proposed?.tokens ?? []) await request([...unverified, token]);
    };
    await request([]);
  }
  cache.dispose();
  return found;
}

async function run(model: LoadedModel, plans: readonly RoundPlan[], cache: ReturnType<LoadedModel["createCache"]>) {
  const { forest, sampling, rows } = layOut(plans);
  const result: ForwardResult = await model.forward(forest, cache, sampling);
  const drawnAt = (i: number) => (anchor: number) => {
    const one = result.drawn[(rows[i]?.firstDraw ?? 0) + anchor + 1];
    if (one === undefined) throw new Error("nothing was drawn there");
    return one;
  };
  return { result, rows, drawnAt };
}
