import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeHub } from "../../test/support/fake-hub.ts";
import { load } from "../index.ts";
import { collect } from "./terminal/collect-io.ts";

const fixtures = join(import.meta.dirname, "../../test/fixtures");
const llama = join(fixtures, "models/llama-tiny");
let home = "";
let hub: FakeHub;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "idlm-models-"));
  hub = await FakeHub.start();
  vi.stubEnv("IDLM_HOME", join(home, "cache"));
  vi.stubEnv("HF_TOKEN", "hf_secret");
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.stop();
  rmSync(home, { recursive: true });
});

function addFolder(folder: string, names: readonly string[]): void {
  for (const name of names) hub.add(name, readFileSync(join(folder, name)), name.endsWith(".safetensors"));
}

describe("idlm pull, list and remove", () => {
  it("download a model, show it and remove it", async () => {
    hub.add("model.gguf", "GGUF");
    const pulled = await collect(["pull", "org/repo:model.gguf", "--revision", "v1", "--json"]);
    expect(pulled).toMatchObject({ status: 0, stderr: "" });
    const { name, path } = JSON.parse(pulled.stdout) as { name: string; path: string };
    expect(name).toBe("org/repo:model.gguf");
    expect(readFileSync(path, "utf8")).toBe("GGUF");
    expect((await collect(["pull", "org/repo:model.gguf"])).stdout).toBe(`${path}\n`);

    const listed = await collect(["list"]);
    expect(listed.stdout).toMatch(
      /^NAME +SIZE +STATE +FROM\norg\/repo:model.gguf +0\.0 MB +ready +main \(0123456789ab\)\n$/,
    );
    expect(JSON.parse((await collect(["list", "--json"])).stdout)).toMatchObject([
      { name: "org/repo:model.gguf", state: "ready", kind: "gguf", path, source: { revision: "main" } },
    ]);
    const removed = await collect(["remove", "org/repo:model.gguf", "--json"]);
    expect(JSON.parse(removed.stdout)).toMatchObject([{ name: "org/repo:model.gguf" }]);
    expect(await collect(["list", "--json"])).toMatchObject({ status: 0, stdout: "[]\n" });
    expect(await collect(["list"])).toMatchObject({
      status: 0,
      stdout: "",
      stderr: expect.stringMatching(/No models/),
    });
    expect(await collect(["remove", "org/repo:model.gguf"])).toMatchObject({ status: 3 });
  });

  it("pull leaves a path where it is", async () => {
    const path = join(llama, "model.f32.gguf");
    expect(await collect(["pull", path])).toMatchObject({ status: 0, stdout: `${resolve(path)}\n` });
    expect(await collect(["pull", llama])).toMatchObject({ status: 0, stdout: `${llama}\n` });
    expect((await collect(["list", "--json"])).stdout).toBe("[]\n");
    expect(hub.seen).toEqual([]);
  });

  it.each([
    [["pull", "no-such-model"], 2, /no-such-model is not in the catalogue.*ORG\/REPO/],
    [["pull", "./none.gguf"], 3, /none.gguf: no such file or folder/],
    [["pull", "models/none.gguf"], 3, /no such file or folder/],
    [["pull", "org/none"], 6, /no such repository/],
    [["pull", "org/repo", "--revison", "x"], 2, /unknown option '--revison'/],
    [["pull"], 2, /missing required argument/],
    [["remove"], 2, /missing required argument/],
    [["remove", "../.."], 3, /no such file or folder. idlm list shows/],
  ])("%j exits with %d", async (argv, status, message) => {
    const result = await collect(argv);
    expect(result).toMatchObject({ status, stdout: "", stderr: expect.stringMatching(message) });
  });

  it("other commands download what they need, and then work offline", async () => {
    addFolder(llama, ["config.json", "generation_config.json", "model.safetensors"]);
    const forest = join(home, "forest.json");
    writeFileSync(forest, JSON.stringify({ tokens: [5, 6], positions: [0, 1], parents: [-1, 0], gate: [0, 0] }));
    const forward = (model: string, out: string) =>
      collect(["forward", model, "--forest", forest, "--out", join(home, out)]);
    expect(await forward("org/repo", "a")).toMatchObject({ status: 0 });
    await hub.stop();
    expect(await forward("org/repo", "b")).toMatchObject({ status: 0 });
    expect(await forward(llama, "c")).toMatchObject({ status: 0 });
    const [a, b, c] = ["a", "b", "c"].map((name) => readFileSync(join(home, name)));
    expect(a?.equals(b as Buffer) && b?.equals(c as Buffer)).toBe(true);
    expect(await collect(["inspect", "org/repo"])).toMatchObject({ status: 0 });
  });
});

describe("load", () => {
  it("gets model and adapter from the hub, or from the cache", async () => {
    addFolder(llama, ["config.json", "model.safetensors"]);
    const request = { ids: [5, 6, 7], maxTokens: 12 };
    await expect(load("org/repo", { pull: false })).rejects.toThrow(/org\/repo: no such file.*idlm pull org\/repo/);
    const model = await load("org/repo", { threads: 1 });
    const { tokens } = await model.generate(request).result;
    await model.dispose();

    const entry = "idlm/llama-tiny-entry0";
    hub.files.clear();
    addFolder(join(fixtures, entry), [
      "adapter_config.json",
      "adapter_model.safetensors",
      "idlm_config.json",
      "idlm.safetensors",
    ]);
    const adapted = await load("org/repo", { threads: 1, adapter: "org/repo", pull: false }).catch((error) => error);
    expect(adapted).toMatchObject({ code: "unsupported" }); // it is the model, not an adapter
    await collect(["pull", "org/repo"]); // the repository is an adapter now
    const withAdapter = await load(llama, { threads: 1, adapter: "org/repo" });
    expect(withAdapter.info.adapter?.path).toContain(join(home, "cache"));
    expect((await withAdapter.generate(request).result).tokens).toEqual(tokens);
    await withAdapter.dispose();
  });
});
