import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { hasChromium, launchChromium, problemsOf, violationsOf } from "../../../test/support/browser.ts";
import { bundleCli, startCli } from "../../../test/support/cli-process.ts";
import { readAdapter } from "../../formats/adapter/adapter.ts";
import type { MakeState } from "../../making/make-state.ts";
import { stageNames } from "../../making/stages.ts";
import { collect } from "../terminal/collect-io.ts";

const model = fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-Q8_0.gguf", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idlm-make-"));
const homeBefore = process.env.IDLM_HOME;
process.env.IDLM_HOME = join(folder, "home");
let main = "";
beforeAll(async () => {
  main = await bundleCli();
});
afterAll(() => {
  if (homeBefore === undefined) delete process.env.IDLM_HOME;
  else process.env.IDLM_HOME = homeBefore;
  rmSync(folder, { recursive: true });
  rmSync(dirname(main), { recursive: true });
});

const prompts = join(folder, "prompts.txt");
writeFileSync(prompts, Array.from({ length: 40 }, (_, i) => `What comes after ${i}?`).join("\n"));
const HOURS = "0.002";
const argv = (out: string, ...more: string[]) => [
  ...["make", model, "--out", out, "--hours", HOURS, "--prompts", prompts, "--threads", "1", ...more],
];
const stateOf = (out: string): MakeState => JSON.parse(readFileSync(join(out, "make.json"), "utf8"));
const hashOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
/** The adapter's files, without checkpoints and locks. */
const adapterOf = (out: string) =>
  readdirSync(join(out, "adapter"))
    .filter((name) => name !== "checkpoints")
    .map((name) => [name, hashOf(join(out, "adapter", name))]);

// Everything takes seconds, but some of it is real work that a busy machine delays.
vi.setConfig({ testTimeout: 480_000, hookTimeout: 480_000 });
const made = join(folder, "made");
beforeAll(async () => {
  expect(await collect(argv(made))).toMatchObject({ status: 0 });
}, 240_000);

describe("idlm make", () => {
  it("makes an adapter of the model, a report, and a state with the results of all stages", () => {
    const { idlm } = readAdapter(join(made, "adapter"));
    const { results, workMs, settings } = stateOf(made);
    expect(idlm?.baseSha256).toBe(hashOf(model));
    expect(Object.keys(results)).toEqual(stageNames);
    expect(Object.keys(workMs)).toEqual(stageNames);
    expect(settings).toMatchObject({ hours: 0.002, seed: 0 });
    expect(results.write?.rows).toBeGreaterThanOrEqual(40);
    expect(results.train?.curve.at(-1)?.evaluation?.predicted).toBeDefined();
    expect(results.verify?.texts.length).toBeGreaterThanOrEqual(4);
    for (const { text, pieces } of results.verify?.texts ?? []) {
      expect(pieces.map((piece) => piece.text).join("")).toBe(text);
    }
    // Plain decoding, a chain and a quadratic round of each stride, the controller with MASK rows and with all proposers.
    const masks = results.train?.shape.masks ?? 0;
    expect(masks).toBeGreaterThanOrEqual(2);
    expect(results.bench?.figures).toHaveLength(1 + 2 * masks + 2);
    expect(results.bench?.figures.every(({ isSameText }) => isSameText)).toBe(true);
    expect(existsSync(join(made, "settings"))).toBe(false);
  });

  it("exits at once where it is finished, and writes a lost report again", async () => {
    const before = stateOf(made);
    const report = readFileSync(join(made, "report.html"), "utf8");
    rmSync(join(made, "report.html"));
    const again = await collect(argv(made));
    expect(again).toMatchObject({ status: 0, stderr: "finished already\n" });
    expect(again.stdout).toContain(join(made, "adapter"));
    expect(stateOf(made)).toEqual(before);
    expect(readFileSync(join(made, "report.html"), "utf8")).toBe(report);
    // Without options it goes by those that it was begun with.
    expect(await collect(["make", model, "--out", made])).toMatchObject({ status: 0, stderr: "finished already\n" });
  });

  it("prints a plan with times, and with --json a line per event", async () => {
    const out = join(folder, "json");
    const { status, stdout, stderr } = await collect(argv(out, "--json"));
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining("plan") });
    const events = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.filter(({ kind }) => kind === "end").map(({ stage }) => stage)).toEqual(stageNames);
    expect(events.find(({ kind }) => kind === "plan")).toMatchObject({
      settings: { hours: 0.002 },
      plan: { seconds: { write: 0.35 * 7.2 } },
      machine: { trainRowsPerSecond: expect.any(Number) },
    });
    const adapter = join(out, "adapter");
    expect(events.at(-1)).toMatchObject({ kind: "result", status: "finished", adapter });
  });

  it("stops at Ctrl-C, and goes on where it was", async () => {
    const out = join(folder, "stopped");
    for (const stage of ["write training text", "train the adapter", "measure decoding"]) {
      let isStopped = false;
      const stopped = await collect(argv(out), {
        tty: true,
        onStderr: (text, interrupt) => {
          if (isStopped || !text.includes(`] ${stage}: `)) return;
          isStopped = true;
          interrupt();
        },
      });
      expect(stopped).toMatchObject({ status: 130, killed: false });
      expect(stopped.stderr).toContain("Stopped. Run the same command again to go on.");
      expect(stopped.stderr).toMatch(/ left in all; /);
    }
    const { results, trainHours } = stateOf(out);
    expect(results.bench).toBeUndefined();
    const finished = await collect(argv(out));
    expect(finished).toMatchObject({ status: 0 });
    expect(finished.stderr).toMatch(/train the adapter +done/);
    expect(finished.stderr).not.toContain("train the adapter: done after");
    expect(stateOf(out)).toMatchObject({ trainHours, results });
  });

  it("refuses a folder of another model, other settings and other prompts", async () => {
    const other = join(folder, "other.gguf");
    cpSync(fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url)), other);
    const renamed = await collect(["make", other, "--out", made]);
    expect(renamed).toMatchObject({
      status: 4,
      stderr: expect.stringMatching(/another run: .*Restore the model, or.*--out/),
    });
    const hours = await collect(["make", model, "--out", made, "--hours", "3"]);
    expect(hours).toMatchObject({
      status: 4,
      stderr: expect.stringMatching(/with hours 0\.002, not 3\. Leave it out/),
    });
    writeFileSync(join(folder, "others.txt"), "Why?\n");
    const changed = await collect(["make", model, "--out", made, "--prompts", join(folder, "others.txt")]);
    expect(changed).toMatchObject({ status: 4, stderr: expect.stringContaining("it has other prompts") });
  });

  it.each([
    [["--hours", "0"], 2, "--hours"],
    [["--hours", "1", "--seed", "-1"], 2, "--seed"],
    [["--prompts", join(folder, "none")], 3, "none: no such file"],
    [["--out", prompts], 3, "cannot be written"],
  ])("rejects %j", async (options, status, message) => {
    const result = await collect(["make", model, "--out", join(folder, "rejected"), ...options]);
    expect(result.status).toBe(status);
    expect(result.stderr).toContain(message);
  });

  it("rejects a state that another version wrote", async () => {
    const out = join(folder, "future");
    cpSync(made, out, { recursive: true });
    writeFileSync(join(out, "make.json"), '{"format": 99, "kind": "idlm-make"}');
    const result = await collect(["make", model, "--out", out]);
    expect(result).toMatchObject({ status: 3, stderr: expect.stringContaining("another version of idlm") });
  });
});

describe("a process that is killed", () => {
  /** Changes the plan, whose hours are too short for the comparison of settings. */
  function giveTimeForSettings(out: string): void {
    const state = stateOf(out);
    const { machine, settings } = state.results;
    if (machine === undefined || settings !== undefined) return;
    const seconds = { ...machine.plan.seconds, settings: 1.5 };
    const plan = { ...machine.plan, seconds, variants: 2 };
    const results = { ...state.results, machine: { ...machine, plan } };
    writeFileSync(
      join(out, "make.json"),
      JSON.stringify({ ...JSON.parse(readFileSync(join(out, "make.json"), "utf8")), results }),
    );
  }

  it("at any moment loses no finished stage and no text, and goes on", async () => {
    const out = join(folder, "killed");
    const textOf = () =>
      existsSync(join(out, "text/text.jsonl")) ? readFileSync(join(out, "text/text.jsonl"), "latin1") : "";
    let before = { results: {}, text: "" };
    for (let kills = 0; ; ) {
      const { child, ended } = startCli(main, argv(out), { IDLM_HOME: join(folder, "home") });
      const finished = () => (existsSync(join(out, "make.json")) ? Object.keys(stateOf(out).results).length : 0);
      if (kills < 6) {
        // At a random moment of a stage after those that were finished before the last kill.
        while (finished() < Math.min(5, kills) && child.exitCode === null) await sleep(5);
        await sleep(Math.random() * 400);
        child.kill("SIGKILL");
      }
      const { status, signal, stderr } = await ended;
      if (signal === null) {
        expect({ status, stderr }).toMatchObject({ status: 0 });
        break;
      }
      kills++;
      if (!existsSync(join(out, "make.json"))) continue;
      giveTimeForSettings(out);
      const { results } = stateOf(out);
      expect(results).toMatchObject(before.results);
      if ("write" in before.results) expect(textOf()).toBe(before.text);
      before = { results, text: textOf() };
    }
    const { results } = stateOf(out);
    expect(results).toMatchObject(before.results);
    expect(results.settings?.variants).toHaveLength(2);
    expect(readdirSync(out).sort()).toEqual(["adapter", "make.json", "report.html", "text"]);
    expect(adapterOf(out).map(([name]) => name)).toEqual(adapterOf(made).map(([name]) => name));
  });

  it("because its model changed keeps what it has, and goes on with the old one", async () => {
    const [out, changing, kept] = ["changed", "changing.gguf", "kept.gguf"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    cpSync(model, changing);
    const start = () => startCli(main, ["make", changing, ...argv(out).slice(2)], { IDLM_HOME: join(folder, "home") });
    const first = start();
    while (!existsSync(join(out, "text/text.jsonl")) && first.child.exitCode === null) await sleep(2);
    renameSync(changing, kept);
    cpSync(fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url)), changing);
    expect(await first.ended).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(/changing\.gguf: cannot be read: it changed while it was in use/),
    });
    const { machine } = stateOf(out).results;
    expect(await start().ended).toMatchObject({ status: 4, stderr: expect.stringContaining("Restore the model, or") });
    renameSync(kept, changing);
    expect(await start().ended).toMatchObject({ status: 0 });
    expect(stateOf(out).results.machine).toEqual(machine);
  });

  it("by a full disk keeps what it has, and goes on when there is space", async (context) => {
    const disk = join(folder, "disk");
    mkdirSync(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], { stdio: "ignore" });
    } catch {
      return context.skip("cannot mount a disk of its own");
    }
    try {
      const [out, filler] = [join(disk, "out"), join(disk, "filler")];
      const start = () => startCli(main, argv(out), { IDLM_HOME: join(folder, "home") });
      const first = start();
      while (!existsSync(join(out, "text/text.jsonl")) && first.child.exitCode === null) await sleep(2);
      execFileSync("sh", ["-c", `cat /dev/zero > ${filler} 2>/dev/null || true`]);
      expect(await first.ended).toMatchObject({ status: 3, stderr: expect.stringMatching(/no space left on device/) });
      const { machine } = stateOf(out).results;
      expect(machine).toBeDefined();
      // Before anything else is done.
      expect(await start().ended).toMatchObject({
        status: 3,
        stderr: expect.stringMatching(/MB needed, .* free|no space/),
      });
      rmSync(filler);
      expect(await start().ended).toMatchObject({ status: 0 });
      expect(stateOf(out).results.machine).toEqual(machine);
    } finally {
      execFileSync("umount", [disk]);
    }
  });

  it("runs at low priority, unless told otherwise", async () => {
    const niceOf = async (...more: string[]) => {
      const { child, ended } = startCli(main, argv(join(folder, `nice${more.length}`), ...more), {
        IDLM_HOME: join(folder, "home"),
      });
      await new Promise<void>((resolve) => child.stderr?.once("data", () => resolve()));
      const fields = readFileSync(`/proc/${child.pid}/stat`, "latin1")
        .replace(/^.*\) /, "")
        .split(" ");
      child.kill("SIGKILL");
      await ended;
      return Number(fields[16]);
    };
    const own = Number(
      readFileSync("/proc/self/stat", "latin1")
        .replace(/^.*\) /, "")
        .split(" ")[16],
    );
    expect(await niceOf("--no-nice")).toBe(own);
    expect(await niceOf()).toBe(19);
  });
});

describe.skipIf(!hasChromium)("the report (needs Chromium)", () => {
  it("shows figures, samples and curves, on light and dark screens, on phones, without scripts or requests", async () => {
    const { results, model: of } = stateOf(made);
    const browser = await launchChromium();
    try {
      for (const [width, colorScheme] of [
        [1000, "light"],
        [360, "dark"],
      ] as const) {
        const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
        const problems = problemsOf(page);
        const requests: string[] = [];
        page.on("request", (request) => requests.push(request.url()));
        await page.goto(`file://${join(made, "report.html")}`);
        expect(await page.title()).toBe(`An adapter for ${of.name}`);
        const headings = await page.locator("h2").allTextContents();
        expect(headings).toEqual([
          ...["Use it", "Speed", "Samples", "Same bytes", "Training", "Settings", "Training text", "The machine"],
          "How it was made",
        ]);
        expect(await page.getByRole("img").count()).toBeGreaterThanOrEqual(3);
        expect(await page.locator(".sample").count()).toBe(Math.min(6, results.verify?.texts.length ?? 0));
        const [plain = "", proposing = ""] = await page.locator(".sample").first().locator(".answer").allTextContents();
        expect(proposing).toBe(plain);
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
        expect(await violationsOf(page)).toEqual([]);
        expect({ problems, requests: requests.length }).toEqual({ problems: [], requests: 1 });
        await page.close();
      }
    } finally {
      await browser.close();
    }
  });
});
