import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleCli, startCli } from "../../../test/support/cli-process.ts";
import { makeModelFolder } from "../../../test/support/model-folder.ts";
import { safetensorsHashes } from "../../../test/support/safetensors-hashes.ts";
import { writeTrainingText } from "../../../test/support/training-text.ts";
import { collect } from "../terminal/collect-io.ts";

const root = mkdtempSync(join(tmpdir(), "idlm-train-cli-"));
const model = join(import.meta.dirname, "../../../test/fixtures/gguf/tiny64-Q8_0.gguf");
const data = join(root, "data");
/** A model of float weights, for training of all of them. */
const folder = join(root, "folder");
const config = join(folder, "config.json");
let main = "";
beforeAll(async () => {
  makeModelFolder(folder);
  writeTrainingText(data, { model, vocabSize: 320, rows: 12, heldOut: 2 });
  main = await bundleCli();
});
afterAll(() => {
  rmSync(root, { recursive: true });
  rmSync(dirname(main), { recursive: true });
});

const argumentsFor = (out: string, ...more: string[]) => [
  ...["train", model, "--data", data, "--out", out, "--rank", "2", "--draft-vocabulary", "50", "--batch-rows", "12"],
  ...["--checkpoint-every", "2", "--held-out-rows", "2", ...more],
];

describe("idlm train", () => {
  it("prints an evaluation, and with --json a line per event", async () => {
    const out = join(root, "one");
    const plain = await collect(argumentsFor(out, "--steps", "2"));
    expect(plain).toMatchObject({ status: 0 });
    expect(plain.stdout).toMatch(/held-out text +anchors[\s\S]*\nall [\s\S]*predicted: .* tokens\/s/);
    const { stdout } = await collect(argumentsFor(join(root, "two"), "--steps", "10", "--json"));
    const events = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { readonly kind: string; readonly step: number });
    expect(events[0]).toMatchObject({ kind: "start", step: 0 });
    expect(events.filter(({ kind }) => kind === "step").map(({ step }) => step)).toEqual([10]);
    expect(events.filter(({ kind }) => kind === "evaluation")).toHaveLength(5);
    expect(events.at(-1)).toMatchObject({ kind: "end", status: "finished", step: 10 });
    const again = await collect(argumentsFor(out, "--steps", "2"));
    expect(again).toMatchObject({ status: 0, stdout: "" });
    expect(again.stderr).toContain("finished already");
  });

  const weights = ["train", "--data", data, "--batch-rows", "40", "--checkpoint-every", "2", "--held-out-rows", "2"];
  it.each([
    ["gated", (out: string) => argumentsFor(out, "--steps", "24")],
    ["plain", (out: string) => [...weights, "--objective", "plain", "--config", config, "--out", out, "--steps", "10"]],
    ["full", (out: string) => [...weights, folder, "--objective", "full", "--out", out, "--steps", "9"]],
  ])(
    "writes the same bytes of %s with any number of threads, and after being killed at any moment",
    async (name, run) => {
      const whole = join(root, `whole-${name}`);
      expect(await collect([...run(whole), "--threads", "1"])).toMatchObject({ status: 0 });
      const killed = join(root, `killed-${name}`);
      const checkpoints = join(killed, "checkpoints");
      const newest = () =>
        (existsSync(checkpoints) ? readdirSync(checkpoints) : [])
          .filter((file) => file.endsWith(".safetensors"))
          .sort()
          .at(-1);
      let kills = 0;
      for (let i = 0; ; i++) {
        const before = newest();
        const { child, ended } = startCli(main, [...run(killed), "--threads", String(1 + (i % 3))], {});
        let isEnded = false;
        void ended.then(() => {
          isEnded = true;
        });
        // Each session gets a little further, and is killed at another moment after a checkpoint.
        while (!isEnded && newest() === before) await sleep(1);
        await sleep((7 * i) % 20);
        child.kill("SIGKILL");
        const { signal, status, stderr } = await ended;
        if (signal === "SIGKILL") kills++;
        else {
          expect({ status, stderr }).toMatchObject({ status: 0 });
          break;
        }
      }
      expect(kills).toBeGreaterThan(1);
      expect(existsSync(join(killed, "idlm_config.json"))).toBe(true);
      expect(safetensorsHashes(killed)).toEqual(safetensorsHashes(whole));
    },
  );

  it("writes a checkpoint at Ctrl-C and prints how to continue", async () => {
    const out = join(root, "stopped");
    const { child, ended } = startCli(main, argumentsFor(out, "--steps", "100000", "--verbose"), {});
    // Only the last checkpoints are kept, so a certain one may be gone already.
    const checkpoints = join(out, "checkpoints");
    while (!existsSync(checkpoints) || readdirSync(checkpoints).length < 2) await sleep(50);
    child.kill("SIGINT");
    const { status, stderr } = await ended;
    expect(status).toBe(130);
    expect(stderr).toMatch(/Stopped after step \d+\. Run the same command again to go on\./);
  });

  it.each([
    [["--steps", "0"], /--steps/],
    [["--rank", "0"], /--rank/],
    [["--masks", "99"], /--masks/],
    [["--entry-layer", "2", "--steps", "1"], /entry layer 2: the model has 2 layers/],
    [["--depth-weights", "0,1", "--steps", "1"], /depth 1 has weight 0/],
    [["--hours", "1", "--steps", "1"], /cannot be used with/],
    [["--objective", "full"], /--rank does not apply to the objective full/],
  ])("refuses %j before anything is trained", async (options, message) => {
    const { status, stderr } = await collect(argumentsFor(join(root, "bad"), ...options));
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });
});
