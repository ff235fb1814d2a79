import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleCli, startCli } from "../../../test/support/cli-process.ts";
import { collect } from "../terminal/collect-io.ts";

const model = fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idlm-write-cli-"));
const homeBefore = process.env.IDLM_HOME;
process.env.IDLM_HOME = join(folder, "home");
afterAll(() => {
  if (homeBefore === undefined) delete process.env.IDLM_HOME;
  else process.env.IDLM_HOME = homeBefore;
  rmSync(folder, { recursive: true });
});

const prompts = join(folder, "prompts.txt");
writeFileSync(prompts, Array.from({ length: 30 }, (_, i) => `What comes after ${i}?`).join("\n"));
const TOKENS = 12_000;
const argv = (out: string, tokens = TOKENS) => [
  ...["write", model, "--out", out, "--tokens", String(tokens), "--prompts", prompts, "--threads", "1"],
];
const FILES = ["text.jsonl", "dropped.jsonl", "manifest.json"];
const contentOf = (out: string) => FILES.map((name) => readFileSync(join(out, name), "latin1"));

const undisturbed = join(folder, "undisturbed");
beforeAll(async () => {
  const { status, stderr } = await collect(argv(undisturbed));
  expect({ status, stderr }).toMatchObject({ status: 0 });
});

describe("idlm write", () => {
  it("reports progress with a sample, and numbers of rows and dropped requests", async () => {
    const { status, stdout, stderr } = await collect(argv(join(folder, "a"), 300));
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
    expect(stderr).toMatch(/file, temperature [\d.]+: What comes after \d+\? → /);
    expect(stderr).toMatch(/\d+ %: \d+ rows of [\d,]+ tokens, \d+ dropped/);
    expect(stderr).toMatch(/a: \d+ rows of [\d,]+ tokens, \d+ rows held out\n/);
    expect(await collect([...argv(join(folder, "b"), 300), "--quiet"])).toMatchObject({ stderr: "" });
  });

  it("prints the manifest, even if the text is complete", async () => {
    const { status, stdout, stderr } = await collect([...argv(undisturbed), "--json"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual(JSON.parse(readFileSync(join(undisturbed, "manifest.json"), "utf8")));
  });

  it("stops at Ctrl-C and can be continued", async () => {
    const out = join(folder, "stopped");
    let isStopped = false;
    const onStderr = (text: string, interrupt: () => void) => {
      if (isStopped || !/ %: /.test(text)) return;
      isStopped = true;
      interrupt();
    };
    const stopped = await collect(argv(out, 100_000), { onStderr });
    expect(stopped).toMatchObject({ status: 130, killed: false });
    expect(stopped.stderr).toMatch(
      /Stopped\. \d+ rows of [\d,]+ tokens are kept\. Run the same command again to continue\./,
    );
    expect(JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"))).toMatchObject({ complete: false });
    expect(await collect(argv(out))).toMatchObject({ status: 0 });
    const [text = ""] = contentOf(undisturbed);
    expect(readFileSync(join(out, "text.jsonl"), "latin1").startsWith(text)).toBe(true);
  });

  it.each([
    [["--out", "x"], 2, "--tokens"],
    [["--out", "x", "--tokens", "0"], 2, "--tokens"],
    [["--out", "x", "--tokens", "5", "--seed", "-1"], 2, "--seed"],
    [["--out", join(folder, "x"), "--tokens", "5", "--prompts", join(folder, "none")], 3, "none: no such file"],
    [["--out", undisturbed, "--tokens", "5", "--prompts", prompts, "--seed", "1"], 4, "another folder (--out DIR)"],
  ])("rejects %j", async (options, status, message) => {
    const result = await collect(["write", model, ...options]);
    expect(result.status).toBe(status);
    expect(result.stderr).toContain(message);
  });
});

describe("a process that is killed", () => {
  let main = "";
  beforeAll(async () => {
    main = await bundleCli();
  });
  afterAll(() => rmSync(dirname(main), { recursive: true }));
  const start = (out: string, tokens = TOKENS) =>
    startCli(main, argv(out, tokens), { IDLM_HOME: join(folder, "home") });
  const sizeOf = (out: string) => statSync(join(out, "text.jsonl"), { throwIfNoEntry: false })?.size ?? 0;

  it("at any moment loses no rows, and the final text has the same bytes", async () => {
    const out = join(folder, "killed");
    let size = 0;
    for (let kill = 0; kill < 5; kill++) {
      const { child, ended } = start(out);
      // At a random moment after it has got further, or has ended.
      while (sizeOf(out) <= size && child.exitCode === null) await sleep(2);
      await sleep(Math.random() * 40);
      child.kill("SIGKILL");
      await ended;
      const before = readFileSync(join(out, "text.jsonl"), "latin1");
      expect((contentOf(undisturbed)[0] ?? "").startsWith(before)).toBe(true);
      size = before.length;
    }
    expect(await start(out).ended).toMatchObject({ status: 0 });
    expect(contentOf(out)).toEqual(contentOf(undisturbed));
  });

  it("by a full disk keeps its rows, and continues when there is space", async (context) => {
    const disk = join(folder, "disk");
    mkdirSync(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], { stdio: "ignore" });
    } catch {
      return context.skip("cannot mount a disk of its own");
    }
    try {
      const [out, filler] = [join(disk, "out"), join(disk, "filler")];
      writeFileSync(filler, Buffer.alloc(1_000_000));
      const early = await start(out, 100_000).ended;
      expect(early).toMatchObject({
        status: 3,
        stderr: expect.stringMatching(/about 1\.6 MB needed, 1\.\d MB free on its disk/),
      });
      rmSync(filler);
      const full = start(out, 100_000);
      while (sizeOf(out) === 0 && full.child.exitCode === null) await sleep(2);
      execFileSync("sh", ["-c", `cat /dev/zero > ${filler} 2>/dev/null || true`]);
      expect(await full.ended).toMatchObject({
        status: 3,
        stderr: expect.stringMatching(/cannot be written: no space left on device/),
      });
      const kept = readFileSync(join(out, "text.jsonl"), "latin1");
      rmSync(filler);
      expect(await start(out).ended).toMatchObject({ status: 0 });
      const text = readFileSync(join(out, "text.jsonl"), "latin1");
      expect(text.startsWith(kept.slice(0, kept.lastIndexOf("\n") + 1))).toBe(true);
      expect(text.startsWith(contentOf(undisturbed)[0] ?? "")).toBe(true);
    } finally {
      execFileSync("umount", [disk]);
    }
  });
});
