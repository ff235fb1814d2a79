import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Backend } from "../src/compute/backend.ts";
import type { LoadedModel } from "../src/compute/loaded-model.ts";
import type { SamplerSettings } from "../src/compute/sampling/settings.ts";
import { createNativeBackend } from "../src/compute/native/index.ts";
import { createReferenceBackend } from "../src/compute/reference/index.ts";
import { neutralSettings } from "../src/compute/sampling/settings.ts";
import type { DraftModel } from "../src/decoding/proposers/draft-model.ts";
import { DraftProposer } from "../src/decoding/proposers/draft-proposer.ts";
import { FixedPlanner } from "../src/decoding/planners/planner.ts";
import type { RoundPlan, Verification } from "../src/decoding/round/round.ts";
import { loadDraft } from "../src/engine/load/load-draft.ts";
import { writeFirstLayers } from "../src/formats/gguf/first-layers.ts";
import { writeGguf } from "../src/formats/gguf/gguf-writer.ts";
import { openGguf } from "../src/formats/gguf/gguf.ts";
import { compileProgram } from "../src/model/compile.ts";
import { openModel } from "../src/model/open/open-model.ts";
import { type SequenceSetup, generateCompletions } from "./support/generate-completions.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-draft-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(import.meta.dirname, "fixtures/gguf/tiny256-Q4_1.gguf");
const firstLayer = join(folder, "first-layer.gguf");
const CONTEXT = 128;

async function loadWith(backend: Backend, draftPath: string) {
  const opened = openModel(path, "gguf");
  try {
    const draft = await loadDraft({ path: draftPath, kind: "gguf" }, opened, backend, CONTEXT);
    return { model: await backend.load(compileProgram(opened)), draft };
  } finally {
    opened.close();
  }
}

interface Way {
  readonly prompt: readonly number[];
  readonly settings: SamplerSettings;
  readonly stride: number;
  readonly verification?: Verification;
}

async function write(model: LoadedModel, draft: DraftModel | undefined, way: Way) {
  const { prompt, settings, stride, verification = { mode: "exact" } } = way;
  const proposeFor = verification.mode === "exact" ? "exact" : "rejection";
  const froms: boolean[] = [];
  const setup: SequenceSetup = {
    ...{ prompt, settings, verification, maxTokens: 24, maxRun: 0 },
    proposers:
      draft === undefined ? [] : [new DraftProposer(draft, { settings, proposeFor, endTokens: new Set<number>() })],
    planner: new FixedPlanner("chain", draft === undefined ? 1 : stride),
  };
  const onPlan = ({ proposals }: RoundPlan) => void froms.push(...proposals.map(({ from }) => from !== undefined));
  const [written] = await generateCompletions(model, [setup], { batch: 1, chunkRows: 16, onPlan });
  return { text: written?.tokens ?? [], forwards: written?.forwards ?? 0, froms };
}

describe.each([
  ["native", () => createNativeBackend({ threads: 1 }) as Backend, 30],
  ["reference", createReferenceBackend, 4],
])("a draft model on the %s backend", (_, create, numRuns) => {
  let loaded: Awaited<ReturnType<typeof loadWith>>;
  let twin: Awaited<ReturnType<typeof loadWith>>;
  beforeAll(async () => {
    writeFirstLayers(path, firstLayer, 1);
    loaded = await loadWith(create(), firstLayer);
    twin = await loadWith(create(), path);
  });
  afterAll(async () => {
    for (const { model, draft } of [loaded, twin]) {
      model.dispose();
      await draft.dispose();
    }
  });

  const ways = fc.record({
    prompt: fc.array(fc.nat(255), { minLength: 1, maxLength: 40 }),
    stride: fc.integer({ min: 2, max: 6 }),
    settings: fc
      .record({
        temperature: fc.constantFrom(0, 0.7, 1),
        seed: fc.nat(1000),
        topK: fc.constantFrom(0, 20),
        topP: fc.constantFrom(1, 0.9),
        repetitionPenalty: fc.constantFrom(1, 1.2),
        presencePenalty: fc.constantFrom(0, 0.5),
      })
      .map((settings) => ({ ...neutralSettings, ...settings })),
  });

  it("does not change tokens in exact mode", async () => {
    await fc.assert(
      fc.asyncProperty(ways, async (way) => {
        const plain = await write(loaded.model, undefined, way);
        const drafted = await write(loaded.model, loaded.draft, way);
        expect(drafted.text).toEqual(plain.text);
        expect(drafted.forwards).toBeLessThanOrEqual(plain.forwards);
      }),
      { numRuns },
    );
  });

  it("is always accepted in exact mode if it is the same model", async () => {
    await fc.assert(
      fc.asyncProperty(ways, async (way) => {
        // The shortlist of a proposal includes noise, but neither penalties nor normalisation.
        const settings = { ...way.settings, repetitionPenalty: 1, presencePenalty: 0, topK: 0, topP: 1 };
        const { forwards } = await write(twin.model, twin.draft, { ...way, settings });
        expect(forwards).toBe(Math.ceil(24 / way.stride));
      }),
      { numRuns },
    );
  });

  it("draws from its reported distribution in rejection mode, which has one token at temperature 0", async () => {
    await fc.assert(
      fc.asyncProperty(ways, async (way) => {
        const { text, froms } = await write(loaded.model, loaded.draft, {
          ...way,
          verification: { mode: "rejection" },
        });
        expect(text.length).toBe(24);
        expect(froms).toEqual(froms.map(() => way.settings.temperature > 0));
      }),
      { numRuns },
    );
  });
});

describe("loadDraft", () => {
  const rewritten = (name: string, change: (tokens: string[]) => void) => {
    const to = join(folder, name);
    const file = openGguf(path);
    const metadata = new Map(file.metadata);
    const tokens = [...(metadata.get("tokenizer.ggml.tokens") as string[])];
    change(tokens);
    metadata.set("tokenizer.ggml.tokens", tokens);
    const tensors = [...file.tensors.values()].map(({ name, type, shape, bytes }) => {
      return { name, type, dimensions: [...shape].reverse(), data: bytes };
    });
    writeGguf(to, { metadata, tensors });
    file.close();
    return to;
  };

  it("rejects a different vocabulary, and reports the difference", async () => {
    const backend = createReferenceBackend();
    const other = rewritten("other.gguf", (tokens) => {
      tokens[200] = "another token";
    });
    await expect(loadWith(backend, other)).rejects.toThrow(/its token 200 is "another token", the model's /);
    await expect(loadWith(backend, other)).rejects.toMatchObject({ code: "draft-mismatch", exitStatus: 4 });
    const larger = join(import.meta.dirname, "fixtures/models/qwen2-tiny");
    const opened = openModel(path, "gguf");
    const draft = loadDraft({ path: larger, kind: "huggingface" }, opened, backend, CONTEXT);
    await expect(draft).rejects.toMatchObject({ code: "draft-mismatch" });
    opened.close();
  });
});
