import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LoadedModel } from "../src/compute/loaded-model.ts";
import { createNativeBackend } from "../src/compute/native/index.ts";
import { compileProgram } from "../src/model/compile.ts";
import { openModel } from "../src/model/open/open-model.ts";
import { chain, forestOf, golden, runForest } from "./support/backend-contract.ts";
import { realModelPath } from "./support/real-model.ts";
import { widened } from "./support/widened.ts";

const path = realModelPath();
const suite = path === undefined ? describe.skip : describe;

function logSoftmax(logits: Float32Array): Float64Array {
  let largest = Number.NEGATIVE_INFINITY;
  for (const x of logits) largest = Math.max(largest, x);
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - largest);
  return Float64Array.from(logits, (x) => x - largest - Math.log(sum));
}

suite("SmolLM2-135M-Instruct (Q4_1)", () => {
  const goldens = golden("smollm2", "goldens.json");
  let float: LoadedModel;
  let model: LoadedModel;

  beforeAll(async () => {
    const backend = createNativeBackend({ threads: 2 });
    const opened = openModel(path as string, "gguf");
    const program = compileProgram(opened);
    model = await backend.load(program);
    float = await backend.load(widened(program));
    opened.close();
  });
  afterAll(() => {
    model.dispose();
    float.dispose();
  });

  it("in float32 has the stored best ten within 1e-3, and the greedy text", async () => {
    for (const { ids, top10, greedy: golden } of goldens.prompts) {
      const greedy: number[] = golden.ids;
      const result = await runForest(float, forestOf({ tokens: ids }));
      let largest = 0;
      top10.forEach((row: { ids?: number[]; logits?: number[] } & [number, number][], i: number) => {
        const logits = result.logits(i);
        const pairs: [number, number][] = row.ids
          ? row.ids.map((id, k) => [id, (row.logits as number[])[k] as number])
          : [...row];
        for (const [id, value] of pairs) largest = Math.max(largest, Math.abs((logits[id] as number) - value));
      });
      expect(largest).toBeLessThan(1e-3);
      const whole = await runForest(float, forestOf({ tokens: [...ids, ...greedy] }));
      greedy.forEach((token: number, i: number) => {
        const logits = whole.logits(ids.length - 1 + i);
        expect(logits.indexOf(logits.reduce((a, b) => Math.max(a, b)))).toBe(token);
      });
    }
  });

  it("with 8-bit activations is as close to float32 as llama.cpp", async () => {
    const { ids, nll, llamacpp } = goldens.text;
    const n = ids.length;
    let kl = 0;
    let agree = 0;
    let deltaNll = 0;
    const pages = [...Array(Math.ceil(n / 16)).keys()];
    const caches = [model.createCache(pages.length), float.createCache(pages.length)] as const;
    for (let at = 0; at < n; at += 50) {
      const piece = ids.slice(at, at + 50);
      const found = await model.forward(chain(piece, at, pages), caches[0]);
      const exact = await float.forward(chain(piece, at, pages), caches[1]);
      for (let i = 0; i < piece.length; i++) {
        const q = logSoftmax(found.logits(i));
        const p = logSoftmax(exact.logits(i));
        let sum = 0;
        for (let t = 0; t < p.length; t++) sum += Math.exp(p[t] as number) * ((p[t] as number) - (q[t] as number));
        kl += sum;
        agree +=
          q.indexOf(q.reduce((a, b) => Math.max(a, b))) === p.indexOf(p.reduce((a, b) => Math.max(a, b))) ? 1 : 0;
        const next = ids[at + i + 1];
        if (next !== undefined) {
          expect(Math.abs(-(p[next] as number) - nll[at + i])).toBeLessThan(1e-2);
          deltaNll += -(q[next] as number) - nll[at + i];
        }
      }
    }
    console.log(
      `mean KL ${(kl / n).toFixed(5)}, top-1 ${(agree / n).toFixed(3)}, Δ mean NLL ${(deltaNll / (n - 1)).toFixed(5)}`,
    );
    expect(kl / n).toBeLessThanOrEqual(0.0026);
    expect(agree / n).toBeGreaterThanOrEqual(llamacpp.top1_agree - 0.01);
  });
});
