import { rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "./support/bundle.ts";
import { startNode } from "./support/cli-process.ts";

const root = join(import.meta.dirname, "..");
const fixture = (path: string) => join(root, "test/fixtures", path);

/** How a thread ended (scenarios.mjs). */
interface Ended {
  readonly status: number;
  readonly error?: string;
  readonly stages?: readonly string[];
  readonly tokens?: readonly number[];
}
interface Found {
  readonly tokens: readonly number[];
  readonly ended: readonly (Ended & { readonly stage: string; readonly how: "terminate" | "throw" | "exit" })[];
  readonly last: Ended;
}

let folder = "";
beforeAll(async () => {
  folder = await bundle("src/index.ts");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a scenario in a separate process, which a fault in native code would end by a signal. */
function run(scenario: string) {
  const options = {
    scenario,
    library: pathToFileURL(join(folder, "index.mjs")).href,
    model: fixture("models/llama-tiny"),
    adapter: fixture("idlm/llama-tiny-entry0"),
  };
  const program = join(root, "test/support/workers/scenarios.mjs");
  return startNode(["--expose-gc", program, JSON.stringify(options)]).ended;
}

/** Result of a scenario that ends by itself. */
async function found(scenario: string): Promise<Found> {
  const { stdout, ...process } = await run(scenario);
  expect(process).toEqual({ status: 0, signal: null, stderr: "" });
  return JSON.parse(stdout);
}

describe("worker threads", () => {
  it("generate the main thread's output concurrently", async () => {
    const { tokens, ended } = await found("together");
    expect(tokens.length).toBeGreaterThan(70);
    expect(ended).toHaveLength(3);
    for (const one of ended) expect(one).toMatchObject({ status: 0, tokens });
  });

  it("generate the main thread's output one after the other", async () => {
    const { tokens, ended } = await found("inTurn");
    for (const one of ended) expect(one).toMatchObject({ status: 0, tokens });
  });

  it("may end at any stage", async () => {
    const { tokens, ended, last } = await found("ending");
    const stages = ["importing", "loading", "prompt, mask", "writing, mask", "writing, lookup", "scoring", "disposing"];
    expect(ended.map(({ stage }) => stage)).toEqual(expect.arrayContaining(stages));
    for (const { stage, how, status, error } of ended) {
      if (how === "throw") expect({ status, error }).toEqual({ status: 1, error: `thrown while ${stage}` });
      if (how === "exit") expect({ status, error }).toEqual({ status: 3 });
      if (how === "terminate") expect(error).toBeUndefined();
    }
    expect(last).toMatchObject({ status: 0, tokens });
  });

  it("end with the process, while they generate", async () => {
    expect(await run("exiting")).toMatchObject({
      status: 7,
      signal: null,
      stderr: "",
      stdout: '{"areWriting":true}\n',
    });
    const { stderr, ...thrown } = await run("throwing");
    expect(stderr).toContain("thrown by the main thread");
    expect(thrown).toEqual({ status: 1, signal: null, stdout: '{"areWriting":true}\n' });
  });
});

describe("a model", () => {
  it("lives as long as something runs", async () => {
    expect(await found("collected")).toEqual({ nTokens: [20, 20], rows: ["0", "1"] });
  });

  it("outlives a reader that throws", async () => {
    expect(await found("reader")).toMatchObject({ error: "thrown by the reader", tokens: expect.any(Array) });
  });
});
