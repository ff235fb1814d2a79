import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeHub, madeBytes, sha256 } from "../../../test/support/fake-hub.ts";
import { pull } from "../pull.ts";
import type { PullOptions } from "../pull-options.ts";
import { resolveAdapter, resolveModel } from "../resolve-model.ts";
import { listModels, removeModel } from "../stored-models.ts";

const weights = madeBytes(300_000);
let cache = "";
let hub: FakeHub;
let notices: string[] = [];

beforeEach(async () => {
  cache = mkdtempSync(join(tmpdir(), "idlm-hub-"));
  hub = await FakeHub.start();
  notices = [];
});
afterEach(async () => {
  await hub.stop();
  rmSync(cache, { recursive: true });
});

function options(more: PullOptions = {}): PullOptions {
  const onNotice = (sentence: string) => notices.push(sentence);
  return { cache, environment: hub.environment, onNotice, timing: { backoffMs: 1, pollMs: 10 }, ...more };
}

/** Paths below the models folder, without the records of verified files. */
function stored(): string[] {
  const paths = readdirSync(join(cache, "models"), { recursive: true }) as string[];
  return paths.filter((path) => statSync(join(cache, "models", path)).isFile() && !path.includes("checked"));
}

describe("pull of a repository", () => {
  it("downloads the only GGUF file, which then resolves offline", async () => {
    hub.add("model.gguf", weights).add("README.md", "words", false).add("mmproj-model.gguf", "an image encoder");
    const shown = new Set<string>();
    const path = await pull("org/repo", options({ onProgress: ({ stage }) => shown.add(stage) }));
    expect(readFileSync(path).equals(weights)).toBe(true);
    expect(hub.fetched).toEqual(["model.gguf all"]);
    expect([...shown]).toEqual(["download"]);
    expect(stored()).toHaveLength(2); // the file and its manifest: no plan and no parts
    await hub.stop();
    expect(await resolveModel("org/repo", { cache, pull: true })).toEqual({
      kind: "gguf",
      path,
      sha256: sha256(weights),
    });
  });

  it("downloads the files of a model folder: configs, tokenizer, the shards of the index", async () => {
    const index = { weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" } };
    hub
      .add("config.json", "{}", false)
      .add("tokenizer.json", '{"model":{}}')
      .add("model.safetensors.index.json", JSON.stringify(index), false)
      .add("model-00001-of-00002.safetensors", weights)
      .add("model-00002-of-00002.safetensors", "second")
      .add("model-00003-of-00002.safetensors", "not named")
      .add("pytorch_model.bin", "pickle")
      .add("modeling_own.py", "print()", false);
    const path = await pull("org/repo", options());
    expect(readdirSync(path).toSorted()).toEqual([
      "config.json",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "tokenizer.json",
    ]);
    expect(new Set(hub.fetched).size).toBe(5);
    expect(hub.fetched).toHaveLength(5);
    expect(await resolveModel("org/repo", { cache })).toEqual({ kind: "huggingface", path });
  });

  it.each([
    ["a file that is not there", "other.safetensors"],
    ["a path outside of the repository", "../../../x.safetensors"],
    ["a file of another kind", "pytorch_model.bin"],
  ])("rejects an index that lists %s", async (_, shard) => {
    hub
      .add("config.json", "{}", false)
      .add("pytorch_model.bin", "pickle")
      .add("model.safetensors.index.json", JSON.stringify({ weight_map: { a: shard } }), false);
    await expect(pull("org/repo", options())).rejects.toMatchObject({ code: "file-malformed" });
    await expect(resolveModel("org/repo", { cache })).rejects.toMatchObject({ code: "file-missing" });
  });

  it("downloads an adapter, which does not resolve as a model", async () => {
    hub.add("adapter_config.json", "{}", false).add("adapter_model.safetensors", weights).add("idlm.safetensors", "x");
    const path = await pull("org/repo", options());
    expect(readdirSync(path)).toHaveLength(3);
    expect(await resolveAdapter("org/repo", { cache })).toBe(path);
    await expect(resolveModel("org/repo", { cache })).rejects.toThrow(/an adapter as a model.*as its adapter/);
    expect(await resolveAdapter("some/path/of-one", { cache })).toBe("some/path/of-one");
  });

  it.each([
    ["org/repo:sub/model-Q8_0.gguf", ["sub/model-Q8_0.gguf"]],
    ["org/repo:q4_k_m", ["model-Q4_K_M-00001-of-00002.gguf", "model-Q4_K_M-00002-of-00002.gguf"]],
    [
      "org/repo:model-Q4_K_M-00002-of-00002.gguf",
      ["model-Q4_K_M-00001-of-00002.gguf", "model-Q4_K_M-00002-of-00002.gguf"],
    ],
    ["org/repo:config.json", ["config.json"]],
  ])("%s selects %j", async (name, files) => {
    hub
      .add("sub/model-Q8_0.gguf", "8 bits")
      .add("model-Q4_K_M-00001-of-00002.gguf", "first")
      .add("model-Q4_K_M-00002-of-00002.gguf", "second")
      .add("config.json", "{}", false);
    const path = await pull(name, options());
    expect(hub.fetched).toEqual(files.map((file) => `${file} all`));
    expect(path.endsWith(files[0] ?? "")).toBe(true);
    expect((await listModels(cache)).map((model) => model.name)).toEqual([name]);
  });

  it.each([
    ["org/repo", "usage", /has 3 GGUF files\. Choose: org\/repo:a-Q4_0.gguf, org\/repo:b-Q4_0.gguf, /],
    ["org/repo:Q4_0", "usage", /Choose: /],
    ["org/repo:Q4", "download", /has no such file\. Choose: /],
    ["org/repo:split-00001-of-00002.gguf", "download", /lacks "split-00002-of-00002.gguf"/],
    ["org/none", "download", /no such repository or revision at .* \(404\)/],
    ["org/repo:../x", "usage", /is not a valid path in a repository/],
    ["org/repo:/etc/passwd", "usage", /is not a valid path in a repository/],
  ])("explains the problem with %s", async (name, code, message) => {
    hub.add("a-Q4_0.gguf", "a").add("b-Q4_0.gguf", "b").add("split-00001-of-00002.gguf", "half");
    await expect(pull(name, options())).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("reports a repository without supported files", async () => {
    hub.add("pytorch_model.bin", "pickle").add("config.json", "{}", false);
    await expect(pull("org/repo", options())).rejects.toThrow(/has no config.json with.*pickle/);
  });

  it("requests the given revision, and files of its commit", async () => {
    hub.add("model.gguf", weights);
    await pull("org/repo", options({ revision: "refs/pr/1" }));
    expect(hub.seen[0]?.path).toBe("/api/models/org/repo/revision/refs/pr/1");
    expect(hub.seen.at(-1)?.path).toBe(`/org/repo/resolve/${hub.commit}/model.gguf`);
    expect((await listModels(cache))[0]).toMatchObject({
      name: "org/repo",
      state: "ready",
      kind: "gguf",
      source: { kind: "hub", repository: "org/repo", revision: "refs/pr/1", commit: hub.commit },
    });
    await expect(pull("org/repo", options({ revision: "a b" }))).rejects.toMatchObject({ code: "usage" });
    await expect(pull("smollm2-135m-instruct", options({ revision: "v1" }))).rejects.toThrow(/only a repository/);
  });

  it("accepts a server without model information", async () => {
    hub.add("model.gguf", weights);
    hub.onApi = (request, response) => {
      const isRevision = request.url?.includes("/revision/") === true;
      if (isRevision) response.writeHead(404).end();
      return isRevision;
    };
    expect(readFileSync(await pull("org/repo", options())).equals(weights)).toBe(true);
    expect(hub.seen.at(-1)?.path).toBe("/org/repo/resolve/main/model.gguf");
  });

  it("downloads only changed files, and keeps the old model until the new one is complete", async () => {
    hub.add("config.json", '{"a":1}', false).add("model.safetensors", weights);
    const old = await pull("org/repo", options());
    hub.commit = "b".repeat(40);
    hub.add("config.json", '{"a":2}', false);
    hub.onFile = (_, response) => {
      response.writeHead(404).end();
      return true;
    };
    await expect(pull("org/repo", options())).rejects.toMatchObject({ code: "download" });
    expect((await resolveModel("org/repo", { cache })).path).toBe(old);
    expect((await listModels(cache))[0]?.state).toBe("ready");

    hub.onFile = () => false;
    hub.seen.length = 0;
    const path = await pull("org/repo", options());
    expect(hub.fetched).toEqual(["config.json all"]);
    expect(readFileSync(join(path, "config.json"), "utf8")).toBe('{"a":2}');
    expect(readFileSync(join(path, "model.safetensors")).equals(weights)).toBe(true);
    expect(existsSync(old)).toBe(false);
    expect((await resolveModel("org/repo", { cache })).path).toBe(path);

    // Another commit with the same files downloads nothing.
    hub.commit = "c".repeat(40);
    hub.seen.length = 0;
    expect(await pull("org/repo", options())).toBe(path);
    expect(hub.fetched).toEqual([]);
    expect((await listModels(cache))[0]?.source).toMatchObject({ commit: hub.commit });
  });

  it("uses the cached copy if the hub is unreachable, and says so", async () => {
    hub.add("model.gguf", weights);
    const path = await pull("org/repo", options());
    const environment = hub.environment;
    await hub.stop();
    expect(await pull("org/repo", options({ environment }))).toBe(path);
    expect(notices.join()).toMatch(/connection refused.*Using the cached copy of commit 0123456789/);
    const other = pull("org/repo", options({ environment, revision: "other" }));
    await expect(other).rejects.toMatchObject({ code: "download" });
  });

  it("verifies small files by their git object name, and rejects files without a checksum", async () => {
    hub.add("model.gguf", "small", false);
    expect(readFileSync(await pull("org/repo", options()), "utf8")).toBe("small");
    hub.onFile = (_, response) => {
      response.writeHead(200, { "content-length": 5 }).end("smell");
      return true;
    };
    await removeModel("org/repo", { cache });
    await expect(pull("org/repo", options())).rejects.toThrow(/git's SHA-1 is [0-9a-f]{40}, expected/);
    hub.listing = () => [{ type: "file", path: "model.gguf", size: 5, oid: "none" }];
    await expect(pull("org/repo", options())).rejects.toThrow(/gives no checksum of "model.gguf"/);
  });

  it("repairs a damaged model, with the same revision", async () => {
    hub.add("model.gguf", weights);
    const path = await pull("org/repo", options({ revision: "v2" }));
    rmSync(path);
    expect((await listModels(cache))[0]?.state).toBe("damaged");
    const found = await resolveModel("org/repo", { ...options(), pull: true });
    expect(found.path).toBe(path);
    expect(dirname(dirname(found.path))).toBe(dirname(dirname(path)));
    expect((await listModels(cache))[0]).toMatchObject({ state: "ready", source: { revision: "v2" } });
  });
});
