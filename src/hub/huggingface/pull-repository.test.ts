import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeHub, madeBytes, sha256 } from "../../../test/support/fake-hub.ts";
import { pull } from "../pull.ts";
import type { PullOptions } from "../pull-options.ts";
import { resolveModel } from "../resolve-model.ts";

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
  return {
    cache,
    environment: hub.environment,
    onNotice: (sentence) => notices.push(sentence),
    timing: { backoffMs: 1, pollMs: 10 },
    ...more,
  };
}

describe("pull of a repository", () => {
  it("fetches a GGUF file, which then is found without the network", async () => {
    hub.add("model.gguf", weights).add("README.md", "words", false);
    const path = await pull("org/repo", options());
    expect(readFileSync(path).equals(weights)).toBe(true);
    expect(hub.fetched).toEqual(["model.gguf all"]);
    await hub.stop();
    expect(await resolveModel("org/repo", { cache })).toEqual({ kind: "gguf", path, sha256: sha256(weights) });
    expect(readdirSync(dirname(dirname(path))).some((name) => name === "plan.json" || name === "partial")).toBe(false);
  });
});
