import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { safetensorsHashes } from "../../test/support/safetensors-hashes.ts";
import { madeRow, writeTrainingRows, writeTrainingText } from "../../test/support/training-text.ts";
import { createReferenceBackend } from "../compute/reference/index.ts";
import { readAdapter } from "../formats/adapter/adapter.ts";
import { openSafetensors } from "../formats/safetensors/safetensors.ts";
import { tensorOf, writeSafetensors } from "../formats/safetensors/safetensors-writer.ts";
import { openModel } from "../model/open/open-model.ts";
import type { RunRequest } from "./prepare.ts";
import { type TrainEvent, type TrainResult, train } from "./train.ts";

const root = mkdtempSync(join(tmpdir(), "idlm-train-"));
afterAll(() => rmSync(root, { recursive: true }));

const path = join(import.meta.dirname, "../../test/fixtures/models/llama-tiny/model.f32.gguf");
const fingerprint = createHash("sha256").update(readFileSync(path)).digest("hex");
const data = join(root, "data");
writeTrainingText(data, { model: path, vocabSize: 320, rows: 20, heldOut: 2 });
let out = "";
let count = 0;
beforeEach(() => {
  out = join(root, `out${count++}`);
});

interface Options {
  readonly data?: string;
  readonly out?: string;
  readonly init?: string;
  readonly settings?: RunRequest["settings"];
  /** The run is stopped after this step. */
  readonly stopAfter?: number;
  readonly warnings?: string[];
  readonly events?: TrainEvent[];
}

async function run(options: Options = {}): Promise<TrainResult> {
  const opened = openModel(path, "gguf");
  const controller = new AbortController();
  const { init, settings, stopAfter = Number.POSITIVE_INFINITY, warnings = [], events = [] } = options;
  try {
    return await train({
      base: { opened, name: "llama-tiny", fingerprint, sha256: fingerprint },
      backend: createReferenceBackend(),
      ...{ data: options.data ?? data, out: options.out ?? out, ...(init !== undefined && { init }) },
      settings: { steps: 6, masks: 2, rank: 2, draftVocabulary: 60, batchRows: 16, ...settings },
      ...{ heldOutRows: 2, checkpointEvery: 2, keepCheckpoints: 2, program: { idlm: "test" } },
      signal: controller.signal,
      onWarning: (message) => warnings.push(message),
      onEvent: (event) => {
        events.push(event);
        if (event.kind === "step" && event.step === stopAfter) controller.abort();
      },
    });
  } finally {
    opened.close();
  }
}

describe("train", () => {
  it("lowers the loss, evaluates by source, and writes an adapter that reads back with its record", async () => {
    const events: TrainEvent[] = [];
    const result = await run({ events, settings: { steps: 16, learningRate: 0.02, batchRows: 24 } });
    expect(result).toMatchObject({ status: "finished", step: 16 });
    const losses = events.flatMap((event) => (event.kind === "step" ? [event.loss] : []));
    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(losses.slice(-5))).toBeLessThan(mean(losses.slice(0, 5)) - 0.02);
    const { idlm, peft } = readAdapter(out);
    expect(idlm).toMatchObject({ entryLayer: 1, baseSha256: fingerprint });
    expect(idlm?.maskEmbedding?.nDepths).toBe(2);
    expect(idlm?.draftVocabulary).toHaveLength(60);
    expect(peft?.config).toMatchObject({ rank: 2, alpha: 128, layersToTransform: [1] });
    expect(idlm?.training).toMatchObject({ steps: 16, idlm: "test", coverage: 1, run: { base: fingerprint } });
    const { evaluation } = result;
    expect(Object.keys(evaluation?.sources ?? {})).toEqual(["model", "template"]);
    const sources = Object.values(evaluation?.sources ?? {});
    expect(evaluation?.anchors).toBe(sources.reduce((sum, { anchors }) => sum + anchors, 0));
    expect(evaluation?.predicted?.tokensPerSecond).toBeGreaterThan(0);
  });

  it("gives the same bytes however often it was stopped, and exits at once when it is finished", async () => {
    const settings = { roundStarts: 0.5, maskCurriculum: 0.5, loss: "annealed", firstMiss: true } as const;
    const whole = await run({ settings });
    const undisturbed = safetensorsHashes(out);
    out = join(root, `out${count++}`);
    for (const stopAfter of [1, 2, 5]) {
      expect(await run({ settings, stopAfter })).toEqual({ status: "stopped", step: stopAfter });
    }
    const { status, evaluation } = await run({ settings });
    expect(status).toBe("finished");
    expect(safetensorsHashes(out)).toEqual(undisturbed);
    expect(evaluation?.survival).toEqual(whole.evaluation?.survival);
    // Killed after the adapter was written and before older checkpoints were removed.
    const folder = join(out, "checkpoints");
    cpSync(join(folder, "step-000000006.safetensors"), join(folder, "step-000000004.safetensors"));
    expect((await run({ settings })).status).toBe("already finished");
    expect(safetensorsHashes(out)).toEqual(undisturbed);
  });

  it("depends on the seed", async () => {
    await run();
    const one = safetensorsHashes(out);
    out = join(root, `out${count++}`);
    await run({ settings: { seed: 1 } });
    expect(safetensorsHashes(out)["adapter_model.safetensors"]).not.toBe(one["adapter_model.safetensors"]);
  });

  it("names a damaged checkpoint, goes on from the one before it, and gives the same bytes", async () => {
    await run();
    const undisturbed = safetensorsHashes(out);
    out = join(root, `out${count++}`);
    await run({ stopAfter: 4 });
    const damaged = join(out, "checkpoints/step-000000004.safetensors");
    const bytes = readFileSync(damaged);
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 4;
    writeFileSync(damaged, bytes);
    const [warnings, events]: [string[], TrainEvent[]] = [[], []];
    await run({ warnings, events });
    expect(warnings).toEqual([expect.stringMatching(/step-000000004\.safetensors: SHA-256 is .*before it is used/)]);
    expect(events[0]).toMatchObject({ kind: "start", step: 2 });
    expect(safetensorsHashes(out)).toEqual(undisturbed);
  });

  it("goes on with the text that it began with where the folder has grown, and refuses other text", async () => {
    const grows = join(root, "grows");
    writeTrainingText(grows, { model: path, vocabSize: 320, rows: 10, heldOut: 2 });
    await run({ data: grows, stopAfter: 3 });
    const rows = Array.from({ length: 12 }, (_, i) => madeRow(i, 320, i < 10 ? "train" : "held-out"));
    writeTrainingRows(grows, path, [...rows, madeRow(12, 320, "train")]);
    expect((await run({ data: grows })).status).toBe("finished");
    await expect(run({ data })).rejects.toThrow(/holds another run: it has other data/);
  });

  it("refuses other settings, other starts, and a folder with something else", async () => {
    await run({ stopAfter: 2 });
    await expect(run({ settings: { steps: 7 } })).rejects.toThrow(/with steps 6, not 7/);
    await expect(run({ settings: { rank: 3 } })).rejects.toThrow(/with rank 2, not 3/);
    const fixture = join(import.meta.dirname, "../../test/fixtures/idlm/llama-tiny-entry1");
    await expect(run({ init: fixture })).rejects.toThrow(/masks: 2, the adapter .* has 3/);
    cpSync(fixture, join(root, "other"), { recursive: true });
    await expect(run({ out: join(root, "other") })).rejects.toThrow(/an adapter that idlm train has not written/);
  });

  it("starts from an adapter, with its shape", async () => {
    await run();
    const init = out;
    out = join(root, `out${count++}`);
    const settings = { steps: 1, learningRate: 1e-9, masks: 2, draftVocabulary: 30 };
    await expect(run({ init, settings: { ...settings, masks: 3 } })).rejects.toThrow(/masks: 3, the adapter .* has 2/);
    await run({ init, settings });
    const values = (folder: string) => readAdapter(folder).idlm?.samplerHead?.w1;
    expect(values(out)).toEqual(values(init));
    expect(readAdapter(out).idlm?.draftVocabulary).toHaveLength(30);
    await expect(run({ init: join(root, "nowhere") })).rejects.toThrow(/no such file/);
  });

  it("refuses a start that holds numbers that are not finite, or that was made for another model", async () => {
    await run();
    const init = join(root, "damaged");
    cpSync(out, init, { recursive: true });
    const file = openSafetensors(join(out, "idlm.safetensors"));
    const tensors = new Map(file.tensors);
    writeSafetensors(join(init, "idlm.safetensors"), {
      ...Object.fromEntries(tensors),
      mask_embedding: tensorOf(new Float32Array(2 * 64).fill(Number.NaN), [2, 64]),
    });
    file.close();
    await expect(run({ init, out: join(root, "x") })).rejects.toThrow(/mask_embedding".*expected a finite number/);
    const config = join(init, "idlm_config.json");
    cpSync(join(out, "idlm.safetensors"), join(init, "idlm.safetensors"));
    writeFileSync(
      config,
      readFileSync(config, "utf8").replace(`"base_sha256": "${fingerprint}"`, `"base_sha256": "${"0".repeat(64)}"`),
    );
    await expect(run({ init, out: join(root, "x") })).rejects.toThrow(/it was made for the file with SHA-256 0000/);
  });

  it("trains for a time, and its result is the checkpoint with the best prediction", async () => {
    const events: TrainEvent[] = [];
    const { steps: _, ...settings } = { steps: 0, hours: 2 / 3600 };
    const opened = openModel(path, "gguf");
    const result = await train({
      base: { opened, name: "llama-tiny", fingerprint, sha256: fingerprint },
      ...{ backend: createReferenceBackend(), data, out, heldOutRows: 4, checkpointEvery: 3, keepCheckpoints: 1 },
      settings: { ...settings, masks: 2, rank: 2, draftVocabulary: 60, batchRows: 16 },
      ...{ program: {}, signal: new AbortController().signal, onWarning: () => {} },
      onEvent: (event) => events.push(event),
    });
    opened.close();
    const evaluations = events.flatMap((event) => (event.kind === "evaluation" ? [event] : []));
    const speed = (event?: (typeof evaluations)[number]) => event?.evaluation.predicted?.tokensPerSecond ?? 0;
    const best = evaluations.reduce((a, b) => (speed(b) >= speed(a) ? b : a));
    expect(result.status).toBe("finished");
    expect(result.step).toBe(best.step);
    expect(readAdapter(out).idlm?.training).toMatchObject({ steps: best.step });
  });
});
