import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it, vi } from "vitest";
import { safetensorsHashes } from "../../test/support/safetensors-hashes.ts";
import { writeTrainingText } from "../../test/support/training-text.ts";
import { createReferenceBackend } from "../compute/reference/index.ts";
import { openModel } from "../model/open/open-model.ts";
import { train } from "./train.ts";

/** Bytes that the disk still takes. */
let room = Number.POSITIVE_INFINITY;
vi.mock("../formats/files/write-all.ts", async (original) => {
  const { writeAll } = await original<typeof import("../formats/files/write-all.ts")>();
  return {
    writeAll: (descriptor: number, bytes: Uint8Array, position?: number) => {
      room -= bytes.length;
      if (room < 0) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      writeAll(descriptor, bytes, position);
    },
  };
});
vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  return { ...fs, statfs: vi.fn(fs.statfs) };
});

const root = mkdtempSync(join(tmpdir(), "idlm-full-disk-"));
afterAll(() => rmSync(root, { recursive: true }));
const path = join(import.meta.dirname, "../../test/fixtures/models/llama-tiny/model.f32.gguf");
const fingerprint = createHash("sha256").update(readFileSync(path)).digest("hex");
const data = join(root, "data");
writeTrainingText(data, { model: path, vocabSize: 320, rows: 12, heldOut: 2 });

const steps: number[] = [];

async function run(out: string) {
  const opened = openModel(path, "gguf");
  steps.length = 0;
  try {
    return await train({
      base: { opened, name: "llama-tiny", fingerprint, sha256: fingerprint },
      ...{ backend: createReferenceBackend(), data, out, heldOutRows: 2, checkpointEvery: 2, keepCheckpoints: 2 },
      settings: { steps: 6, masks: 2, rank: 2, draftVocabulary: 60, batchRows: 16 },
      ...{ program: {}, signal: new AbortController().signal, onWarning: () => {} },
      onEvent: (event) => {
        if (event.kind === "step") steps.push(event.step);
      },
    });
  } finally {
    opened.close();
  }
}

it("a full disk ends a run with an error at whatever write, loses no checkpoint, and the run can go on", async () => {
  const whole = join(root, "whole");
  const LARGE = 1e12;
  room = LARGE;
  await run(whole);
  const written = LARGE - room;
  const undisturbed = safetensorsHashes(whole);
  for (const share of [0, 0.2, 0.5, 0.85, 0.9999]) {
    const out = join(root, `full${share}`);
    room = Math.floor(share * written);
    const outcome = await run(out).catch((error: unknown) => error);
    room = Number.POSITIVE_INFINITY;
    expect(outcome).toMatchObject({
      code: "file-unwritable",
      message: expect.stringContaining("cannot be written: no space left on device"),
    });
    const kept = readdirSync(join(out, "checkpoints")).filter((name) => name.endsWith(".safetensors"));
    expect((await run(out)).status).toBe("finished");
    // Not from the start.
    if (kept.length > 0) expect(steps[0] ?? Number.POSITIVE_INFINITY).toBeGreaterThan(1);
    expect(safetensorsHashes(out)).toEqual(undisturbed);
  }
});

it("refuses to begin where checkpoints have no room", async () => {
  vi.mocked(statfs).mockResolvedValueOnce({ bavail: 3, bsize: 4096 } as never);
  const failed = run(join(root, "small"));
  await expect(failed).rejects.toThrow(/checkpoints: cannot be written: about \d\.\d MB needed, 0\.0 MB free/);
  expect(steps).toEqual([]);
});
