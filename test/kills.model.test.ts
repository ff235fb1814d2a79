import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bundleCli, startCli } from "./support/cli-process.ts";
import { safetensorsHashes } from "./support/safetensors-hashes.ts";
import { writeTrainingText } from "./support/training-text.ts";

// Slow, so not among the default tests, which kill these commands a few times only.
const KILLS = 20;

const root = mkdtempSync(join(tmpdir(), "idlm-kills-"));
const fixtures = join(import.meta.dirname, "fixtures/gguf");
let main = "";
beforeAll(async () => {
  main = await bundleCli();
});
afterAll(() => {
  rmSync(root, { recursive: true });
  rmSync(dirname(main), { recursive: true });
});

/** A command that writes a folder, and what it must not lose. */
interface Case {
  readonly argv: (out: string, threads: number) => readonly string[];
  /** What is safe in the folder: a number that may only grow. Throws where something else is wrong with it. */
  readonly safe: (out: string) => number;
  /** The folder's content in the end. */
  readonly result: (out: string) => unknown;
}

/** Kills a command at random moments of its run. When it has finished all the same, another folder begins. */
async function killOften(name: string, { argv, safe, result }: Case): Promise<void> {
  const whole = join(root, name);
  const durationMs = await timed(argv(whole, 1));
  let kills = 0;
  for (let folder = 0; kills < KILLS; folder++) {
    const out = join(root, `${name}-killed${folder}`);
    let before = 0;
    for (let isFinished = false; !isFinished; ) {
      const { child, ended } = startCli(main, argv(out, 1 + (kills % 3)), { IDLM_HOME: join(root, "home") });
      if (kills < KILLS) {
        await sleep(durationMs * 0.7 * Math.random());
        child.kill("SIGKILL");
      }
      const { status, signal, stderr } = await ended;
      if (signal === "SIGKILL") kills++;
      else {
        expect({ status, stderr }).toMatchObject({ status: 0 });
        isFinished = true;
      }
      const now = safe(out);
      expect(now).toBeGreaterThanOrEqual(before);
      before = now;
    }
    expect(result(out)).toEqual(result(whole));
  }
}

async function timed(argv: readonly string[]): Promise<number> {
  const startMs = performance.now();
  expect(await startCli(main, argv, { IDLM_HOME: join(root, "home") }).ended).toMatchObject({ status: 0 });
  return performance.now() - startMs;
}

it("idlm write, killed at 20 random moments, keeps its rows and ends in the same bytes", async () => {
  const prompts = join(root, "prompts.txt");
  writeFileSync(prompts, Array.from({ length: 60 }, (_, i) => `What comes after ${i}?`).join("\n"));
  const content = (out: string) =>
    ["text.jsonl", "dropped.jsonl", "manifest.json"].map((name) => readFileSync(join(out, name), "latin1"));
  await killOften("text", {
    argv: (out, threads) => [
      ...["write", join(fixtures, "tiny64-F16.gguf"), "--out", out, "--tokens", "40000"],
      ...["--prompts", prompts, "--threads", String(threads)],
    ],
    safe: (out) => {
      const path = join(out, "text.jsonl");
      const kept = existsSync(path) ? readFileSync(path, "latin1") : "";
      expect(readFileSync(join(root, "text/text.jsonl"), "latin1").startsWith(kept)).toBe(true);
      return kept.length;
    },
    result: content,
  });
});

it("idlm train, killed at 20 random moments, keeps its checkpoints and ends in the same bytes", async () => {
  const model = join(fixtures, "tiny64-Q8_0.gguf");
  const data = join(root, "data");
  writeTrainingText(data, { model, vocabSize: 320, rows: 30, heldOut: 2 });
  await killOften("adapter", {
    argv: (out, threads) => [
      ...["train", model, "--data", data, "--out", out, "--threads", String(threads), "--steps", "400"],
      ...["--rank", "2", "--draft-vocabulary", "50", "--batch-rows", "48", "--checkpoint-every", "3"],
      ...["--held-out-rows", "2"],
    ],
    safe: (out) => {
      const folder = join(out, "checkpoints");
      const names = existsSync(folder) ? readdirSync(folder) : [];
      return Math.max(0, ...names.map((name) => Number(/^step-(\d+)\.safetensors$/.exec(name)?.[1] ?? 0)));
    },
    result: safetensorsHashes,
  });
});
