import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { realModelPath } from "../../test/support/real-model.ts";
import { load } from "./load/load.ts";
import type { Model } from "./types.ts";

const root = join(import.meta.dirname, "../..");
const path = realModelPath();
const prompts = (
  JSON.parse(readFileSync(join(root, "test/fixtures/smollm2/goldens.json"), "utf8")) as {
    prompts: { messages: { role: "user"; content: string }[]; ids: number[] }[];
  }
).prompts;

describe.skipIf(path === undefined)("SmolLM2 with its adapter", () => {
  let model: Model;
  beforeAll(async () => {
    model = await load(path ?? "", { adapter: join(root, "models/smollm2-135m-instruct") });
  });
  afterAll(() => model.dispose());

  it("renders the goldens' prompts to their ids", async () => {
    for (const { messages, ids } of prompts) expect(await model.tokenizer?.encodeChat(messages)).toEqual(ids);
  });

  it("generates plain decoding's bytes and logprobs with any proposer", async () => {
    const request = fc.record({
      messages: fc.constantFrom(...prompts.map((prompt) => prompt.messages)),
      maxTokens: fc.integer({ min: 1, max: 60 }),
      temperature: fc.constantFrom(0, 0.7, 1),
      topP: fc.constantFrom(1, 0.9),
      seed: fc.nat(),
      repetitionPenalty: fc.constantFrom(1, 1.15),
      frequencyPenalty: fc.constantFrom(0, 0.3),
      stop: fc.constantFrom([], ["."], ["\n\n", ", and"]),
      logprobs: fc.constantFrom(undefined, 3),
    });
    const way = fc.record({
      propose: fc.constantFrom("mask" as const, "lookup" as const),
      stride: fc.integer({ min: 1, max: 4 }),
      shape: fc.constantFrom("chain" as const, "quadratic" as const),
    });
    await fc.assert(
      fc.asyncProperty(request, way, async (request, way) => {
        const plain = await model.generate({ ...request, propose: "none" }).result;
        const fast = await model.generate({ ...request, ...way }).result;
        for (const key of ["text", "tokens", "sha256", "finishReason", "logprobs"] as const) {
          expect(fast[key]).toEqual(plain[key]);
        }
        expect(fast.forwards).toBeLessThanOrEqual(plain.forwards);
      }),
      { numRuns: 40 },
    );
  }, 600_000);

  it("takes fewer forwards with MASK rows", async () => {
    const results = await Promise.all(
      prompts.map(({ messages }) => model.generate({ messages, maxTokens: 100, shape: "quadratic" }).result),
    );
    const forwards = results.reduce((sum, result) => sum + result.forwards, 0);
    const tokens = results.reduce((sum, result) => sum + result.tokens.length, 0);
    expect(tokens / forwards).toBeGreaterThan(1.3);
  });

  it("runs the documentation's example", async () => {
    const source = readFileSync(join(import.meta.dirname, "load/load.ts"), "utf8");
    const example = /```ts\n([\s\S]*?)```/.exec(source)?.[1]?.replaceAll(/^ \* ?/gm, "") ?? "";
    expect(example).toContain('from "idlm"');
    const code = example.replace(/^import .*$/m, "");
    const lines: string[] = [];
    let written = "";
    const run = new Function("load", "process", "console", `return (async () => {${code}})();`) as (
      ...args: unknown[]
    ) => Promise<void>;
    const own = (name: string) => (name === "smollm2-135m-instruct" ? load(path ?? "", {}) : load(name));
    const stdout = {
      write: (text: string) => {
        written += text;
      },
    };
    await run(own, { stdout }, { log: (line: string) => lines.push(line) });
    expect(written.length).toBeGreaterThan(20);
    expect(lines.join()).toMatch(/40 tokens in \d+ forwards/);
  });
});
