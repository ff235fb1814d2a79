import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bundleCli, startCli } from "./support/cli-process.ts";
import { makeModelFolder, tinyModel } from "./support/model-folder.ts";
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
        expect(status, stderr).toBe(0);
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

const folder = join(root, "folder");
const weights = ["--batch-rows", "60", "--steps", "120"];
it.each([
  ["gated", [tinyModel, "--rank", "2", "--draft-vocabulary", "50", "--batch-rows", "48", "--steps", "400"]],
  ["plain", ["--objective", "plain", "--config", join(folder, "config.json"), ...weights]],
  ["full", [folder, "--objective", "full", ...weights]],
] as const)(
  "idlm train (%s), killed at 20 random moments, keeps its checkpoints and ends in the same bytes",
  async (objective, options) => {
    const data = join(root, "data");
    if (!existsSync(folder)) makeModelFolder(folder);
    writeTrainingText(data, { model: tinyModel, vocabSize: 320, rows: 30, heldOut: 2 });
    await killOften(objective, {
      argv: (out, threads) => [
        ...["train", ...options, "--data", data, "--out", out, "--threads", String(threads)],
        ...["--checkpoint-every", "3", "--held-out-rows", "2"],
      ],
      safe: (out) => {
        const checkpoints = join(out, "checkpoints");
        const names = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
        return Math.max(0, ...names.map((name) => Number(/^step-(\d+)\.safetensors$/.exec(name)?.[1] ?? 0)));
      },
      result: safetensorsHashes,
    });
  },
);
