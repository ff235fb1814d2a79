import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeHub, madeBytes, sha256 } from "../../test/support/fake-hub.ts";
import { pull } from "./pull.ts";
import { resolveModel } from "./resolve-model.ts";
import { listModels, removeModel } from "./stored-models.ts";

const weights = madeBytes(100_000);
const wrong = madeBytes(100_000, 2);
let home = "";
let cache = "";
let hub: FakeHub;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "idlm-poison-"));
  cache = join(home, "cache");
  hub = await FakeHub.start();
  hub.add("config.json", "{}", false).add("model.safetensors", weights).add("one.gguf", weights);
});
afterEach(async () => {
  await hub.stop();
  rmSync(home, { recursive: true });
});

const options = () => ({ cache, environment: hub.environment, timing: { backoffMs: 1, pollMs: 5, silentMs: 50 } });
const fetchFile = () => pull("org/repo:one.gguf", options());
const fetchFolder = () => pull("org/repo", options());
const use = (name: string) => resolveModel(name, { cache });

/** The model cannot be used, and `pull` repairs it. */
async function expectMended(name: string, code: string, path: string): Promise<void> {
  await expect(use(name)).rejects.toMatchObject({ code });
  const found = await resolveModel(name, { ...options(), pull: true });
  expect(found.path).toBe(path);
  const file = found.kind === "gguf" ? path : join(path, "model.safetensors");
  expect(readFileSync(file).equals(weights)).toBe(true);
  expect((await listModels(cache))[0]?.state).toBe("ready");
}

describe("a file in the cache", () => {
  it("with other bytes is detected, also if size and time are unchanged", async () => {
    const path = await fetchFile();
    const { atimeMs, mtimeMs } = statSync(path);
    writeFileSync(path, wrong);
    utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
    expect((await listModels(cache))[0]?.state).toBe("unchecked");
    await expectMended("org/repo:one.gguf", "checksum", path);
  });

  it("that replaced another one is detected", async () => {
    const path = await fetchFile();
    writeFileSync(join(home, "wrong"), wrong);
    renameSync(join(home, "wrong"), path);
    await expectMended("org/repo:one.gguf", "checksum", path);
  });

  it.each<[string, string, (path: string) => void]>([
    ["cut", "checksum", (path) => truncateSync(path, 50_000)],
    ["longer", "checksum", (path) => writeFileSync(path, Buffer.concat([weights, wrong]))],
    ["gone", "file-missing", () => {}],
    ["a folder", "checksum", (path) => mkdirSync(join(path, "with", "more"), { recursive: true })],
    ["a link to nothing", "file-missing", (path) => symlinkSync("nowhere", path)],
    ["a link to itself", "file-missing", (path) => symlinkSync(path, path)],
    ["a pipe", "checksum", (path) => execFileSync("mkfifo", [path])],
  ])("that is %s is detected", async (what, code, change) => {
    const path = await fetchFile();
    if (what !== "cut" && what !== "longer") rmSync(path);
    change(path);
    await expectMended("org/repo:one.gguf", code, path);
  });

  it("that is a link to another file is detected, and the other file stays as it is", async () => {
    const path = await fetchFile();
    const precious = join(home, "precious");
    writeFileSync(precious, wrong);
    rmSync(path);
    symlinkSync(precious, path);
    await expectMended("org/repo:one.gguf", "checksum", path);
    expect(readFileSync(precious).equals(wrong)).toBe(true);
    expect(lstatSync(path).isSymbolicLink()).toBe(false);
  });

  it("that is a link to the right bytes is accepted", async () => {
    const path = await fetchFile();
    renameSync(path, join(home, "moved.gguf"));
    symlinkSync(join(home, "moved.gguf"), path);
    expect((await use("org/repo:one.gguf")).path).toBe(path);
    writeFileSync(join(home, "moved.gguf"), wrong);
    await expect(use("org/repo:one.gguf")).rejects.toMatchObject({ code: "checksum" });
  });

  it("that was added to a model's folder is rejected", async () => {
    const path = await fetchFolder();
    writeFileSync(join(path, "tokenizer.json"), "{}");
    await expect(use("org/repo")).rejects.toThrow(/tokenizer.json.*only the downloaded files/);
    await expectMended("org/repo", "file-malformed", path);
    expect(readdirSync(path).toSorted()).toEqual(["config.json", "model.safetensors"]);
    writeFileSync(join(path, ".DS_Store"), "what a desktop leaves behind");
    expect((await use("org/repo")).path).toBe(path);
  });

  it("of the catalogue is compared with the catalogue's digest", async () => {
    const folder = join(cache, "models", "smollm2-135m-instruct");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "SmolLM2-135M-Instruct.Q4_1.gguf"), wrong);
    await expect(use("smollm2-135m-instruct")).rejects.toMatchObject({ code: "checksum" });
    expect((await listModels(cache))[0]).toMatchObject({ name: "smollm2-135m-instruct", state: "damaged" });
  });
});

describe("the record of verified files", () => {
  const recordOf = (path: string) => {
    const folder = dirname(dirname(path));
    return join(folder, readdirSync(folder).find((name) => name.startsWith("checked")) ?? expect.fail("no record"));
  };

  /** Replaces the file's bytes, and writes a record that says they were verified. */
  const forge = (path: string) => {
    writeFileSync(path, wrong);
    const { size, ino, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    const stamp = { nBytes: `${size}`, inode: `${ino}`, modifiedNs: `${mtimeNs}`, changedNs: `${ctimeNs}` };
    const key = `${dirname(path).split("/").at(-1)}/one.gguf`;
    writeFileSync(recordOf(path), JSON.stringify({ [key]: { ...stamp, digest: sha256(weights) } }));
  };

  it.runIf(process.getuid?.() === 0)("counts only where it is this user's", async () => {
    const path = await fetchFile();
    forge(path);
    expect((await use("org/repo:one.gguf")).path).toBe(path); // whoever can write as this user can do anything
    chownSync(recordOf(path), 1, 1);
    await expectMended("org/repo:one.gguf", "checksum", path);
  });

  it.runIf(process.getuid !== undefined)("counts only where nobody else can write to it", async () => {
    const path = await fetchFile();
    forge(path);
    chmodSync(recordOf(path), 0o666);
    await expectMended("org/repo:one.gguf", "checksum", path);
  });

  it.each(["", "[]", '{"x":1}', '{"a":{"b":{"c":{"d":1}}}}', "\0"])("that is %j is ignored", async (text) => {
    const path = await fetchFile();
    writeFileSync(recordOf(path), text);
    expect((await listModels(cache))[0]?.state).toBe("unchecked");
    expect((await use("org/repo:one.gguf")).path).toBe(path);
    expect((await listModels(cache))[0]?.state).toBe("ready");
  });
});

describe("a manifest", () => {
  const manifestOf = (path: string) => join(dirname(dirname(path)), "model.json");
  const change = (path: string, edit: (json: { [key: string]: unknown; files: { path: string }[] }) => void) => {
    const json = JSON.parse(readFileSync(manifestOf(path), "utf8"));
    edit(json);
    writeFileSync(manifestOf(path), JSON.stringify(json));
  };

  it.each<[string, (path: string) => void]>([
    ["empty", (path) => writeFileSync(manifestOf(path), "")],
    ["no JSON", (path) => writeFileSync(manifestOf(path), "GGUF")],
    [
      "of another format",
      (path) =>
        change(path, (json) => {
          json.format = 2;
        }),
    ],
    [
      "of another kind",
      (path) =>
        change(path, (json) => {
          json.kind = "script";
        }),
    ],
    [
      "another model's",
      (path) =>
        change(path, (json) => {
          json.name = "org/other";
        }),
    ],
    [
      "without files",
      (path) =>
        change(path, (json) => {
          json.files = [];
        }),
    ],
    [
      "of a file elsewhere",
      (path) =>
        change(path, (json) => {
          json.files = [{ ...json.files[0], path: "../../../../etc/passwd" }];
          json.entry = "../../../../etc/passwd";
        }),
    ],
    [
      "with an entry elsewhere",
      (path) =>
        change(path, (json) => {
          json.entry = "../other";
        }),
    ],
    [
      "with a digest that is none",
      (path) =>
        change(path, (json) => {
          Object.assign(json.files[0] ?? {}, { hex: "0" });
        }),
    ],
  ])("that is %s is rejected and replaced", async (_, edit) => {
    const path = await fetchFile();
    edit(path);
    expect((await listModels(cache))[0]?.state).toBe("unknown");
    await expectMended("org/repo:one.gguf", "file-malformed", path);
  });

  it("that is a folder is replaced", async () => {
    const path = await fetchFile();
    rmSync(manifestOf(path));
    mkdirSync(join(manifestOf(path), "sub"), { recursive: true });
    await expectMended("org/repo:one.gguf", "file-unreadable", path);
  });

  it("that fits other bytes is corrected from the hub", async () => {
    const path = await fetchFile();
    writeFileSync(path, wrong);
    change(path, (json) => void Object.assign(json.files[0] ?? {}, { hex: sha256(wrong) }));
    expect(readFileSync(await fetchFile()).equals(weights)).toBe(true);
  });
});

describe("a partial file", () => {
  const partial = async () => {
    hub.onFile = (_, response) => {
      response.writeHead(404).end();
      return true;
    };
    await expect(fetchFile()).rejects.toThrow(/404/);
    hub.onFile = () => false;
    const [key = ""] = readdirSync(join(cache, "models"));
    return join(cache, "models", key, "partial", sha256(weights));
  };

  it("with other bytes is not used", async () => {
    writeFileSync(await partial(), wrong.subarray(0, 60_000));
    expect(readFileSync(await fetchFile()).equals(weights)).toBe(true);
    expect(hub.fetched.slice(-2)).toEqual(["one.gguf bytes=60000-", "one.gguf all"]);
  });

  it.each<[string, (path: string, precious: string) => void]>([
    ["a link", (path, precious) => symlinkSync(precious, path)],
    ["a second name of another file", (path, precious) => linkSync(precious, path)],
    ["a folder", (path) => mkdirSync(join(path, "sub"), { recursive: true })],
    [
      "in a folder that is a link",
      (path, precious) => {
        rmSync(dirname(path), { recursive: true });
        symlinkSync(dirname(precious), dirname(path));
      },
    ],
  ])("is not written to if it is %s", async (_, change) => {
    const path = await partial();
    const precious = join(home, "precious", sha256(weights));
    mkdirSync(dirname(precious));
    writeFileSync(precious, "precious");
    rmSync(path, { force: true });
    change(path, precious);
    expect(readFileSync(await fetchFile()).equals(weights)).toBe(true);
    expect(readFileSync(precious, "utf8")).toBe("precious");
  });
});

describe("folders of the cache that are links", () => {
  it.each(["models", "locks"])("%s: nothing is written or removed through them", async (name) => {
    mkdirSync(join(home, "precious"));
    mkdirSync(cache);
    symlinkSync(join(home, "precious"), join(cache, name));
    await expect(fetchFile()).rejects.toThrow(/it is a link; set IDLM_HOME/);
    expect(readdirSync(join(home, "precious"))).toEqual([]);
  });

  it("a model's folder: only the link is removed", async () => {
    const path = await fetchFile();
    const folder = dirname(dirname(path));
    renameSync(folder, join(home, "precious"));
    symlinkSync(join(home, "precious"), folder);
    await expect(fetchFile()).rejects.toThrow(/it is a link/);
    await removeModel("org/repo:one.gguf", { cache });
    expect(existsSync(join(home, "precious", "model.json"))).toBe(true);
    expect(await listModels(cache)).toEqual([]);
  });

  it("the content folder: only the link is replaced", async () => {
    const path = await fetchFile();
    renameSync(dirname(path), join(home, "precious"));
    writeFileSync(join(home, "precious", "one.gguf"), wrong);
    symlinkSync(join(home, "precious"), dirname(path));
    await expectMended("org/repo:one.gguf", "checksum", path);
    expect(readFileSync(join(home, "precious", "one.gguf")).equals(wrong)).toBe(true);
  });
});

describe("listModels and removeModel", () => {
  it("accept an empty and a missing cache", async () => {
    expect(await listModels(cache)).toEqual([]);
    writeFileSync(cache, "");
    expect(await listModels(cache)).toEqual([]);
  });

  it("list models, and remove them completely", async () => {
    const path = await fetchFile();
    await fetchFolder();
    mkdirSync(join(cache, "models", "of-somebody"));
    writeFileSync(join(cache, "models", "of-somebody", "file"), "1234");
    const listed = await listModels(cache);
    expect(listed.map(({ name, state, kind }) => [name, state, kind])).toEqual([
      ["of-somebody", "unknown", undefined],
      ["org/repo", "ready", "huggingface"],
      ["org/repo:one.gguf", "ready", "gguf"],
    ]);
    expect(listed[2]?.path).toBe(path);
    expect(await removeModel("of-somebody", { cache })).toBe(4);
    expect(await removeModel("org/repo", { cache })).toBeGreaterThan(weights.length);
    expect((await listModels(cache)).map(({ name }) => name)).toEqual(["org/repo:one.gguf"]);
    await expect(removeModel("org/repo", { cache })).rejects.toThrow(
      /org\/repo: no such file or folder\. The cache has org\/repo:one.gguf\./,
    );
    expect(readdirSync(join(cache, "tmp"))).toEqual([]);
    for (const name of ["..", ".", "", "../models", path, "/"])
      await expect(removeModel(name, { cache }), name).rejects.toMatchObject({ code: "file-missing" });
  });

  it("report incomplete models", async () => {
    hub.onFile = (_, response) => {
      response.writeHead(404).end();
      return true;
    };
    await expect(fetchFile()).rejects.toThrow(/404/);
    expect(await listModels(cache)).toMatchObject([{ name: "org/repo:one.gguf", state: "incomplete", kind: "gguf" }]);
    await removeModel("org/repo:one.gguf", { cache });
    expect(await listModels(cache)).toEqual([]);
  });
});
