import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { openSafetensors } from "../../formats/safetensors/safetensors.ts";
import { collect } from "../terminal/collect-io.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idlm-gradients-"));
afterAll(() => rmSync(folder, { recursive: true }));
const out = join(folder, "out.safetensors");

/** Names and shapes of a file's tensors. */
function shapesOf(path: string): Record<string, readonly number[]> {
  const file = openSafetensors(path);
  try {
    return Object.fromEntries([...file.tensors].map(([name, { shape }]) => [name, shape]));
  } finally {
    file.close();
  }
}

const fixtureOf = (name: string) => {
  const path = join(fixtures, "training", name, "golden.json");
  return { path, golden: JSON.parse(readFileSync(path, "utf8")) };
};
const run = (model: string, batch: string, ...rest: string[]) =>
  collect(["gradients", join(fixtures, "models", model), "--batch", batch, "--out", out, ...rest]);

describe.each(["native", "reference"])("idlm gradients --backend %s", (backend) => {
  it("reproduces a golden of gated training, with the same tensor names", async () => {
    const { path, golden } = fixtureOf("gated-llama-m3");
    const adapter = [
      ...["--adapter", join(fixtures, "peft", golden.adapter)],
      ...["--mask-embedding", join(fixtures, "gated", golden.mask_embedding, "mask_embedding.safetensors")],
    ];
    const options = ["--loss", "tv", "--steps", "2", "--backend", backend, "--json"];
    const { stdout, stderr, status } = await run(golden.model, path, ...adapter, ...options);
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    const { losses, loss, grad_norms } = JSON.parse(stdout);
    expect(losses).toHaveLength(3);
    expect(loss).toBe(losses[0]);
    for (const [i, value] of losses.entries()) expect(value).toBeCloseTo(golden.tv.losses[i], 5);
    for (const [i, value] of grad_norms.entries()) expect(value).toBeCloseTo(golden.tv.grad_norms[i], 4);
    const expected = Object.entries(shapesOf(join(fixtures, "training", "gated-llama-m3", "golden.safetensors")));
    const ofLoss = expected.filter(([name]) => /^tv\.(grad|final)\./.test(name));
    expect(shapesOf(out)).toEqual(Object.fromEntries(ofLoss.map(([name, shape]) => [name.slice("tv.".length), shape])));
  });

  it("reproduces a golden of full training, with one step by default", async () => {
    const { path, golden } = fixtureOf("full-b3");
    const { stdout, stderr, status } = await run(golden.model, path, "--backend", backend, "--json");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const { losses, grad_norms } = JSON.parse(stdout);
    expect(losses).toHaveLength(2);
    for (const [i, value] of losses.entries()) expect(value).toBeCloseTo(golden.losses[i], 4);
    expect(grad_norms).toHaveLength(1);
    const stored = shapesOf(join(fixtures, "training", "full-b3", "golden.safetensors"));
    const expected = Object.entries(stored).filter(([name]) => /^(grad|final)\./.test(name));
    expect(shapesOf(out)).toEqual(Object.fromEntries(expected));
  });
});

describe("idlm gradients", () => {
  const good = { objective: "gated", tokens: [5, 6, 7, 8], m: 2, anchors: [1] };
  const full = { objective: "full", tokens: [5, 6, 7, 8], prompt_length: 1, block: 2, mask_token_id: 319, alpha: 0.2 };

  it.each([
    [{ ...good, objective: "both" }, "objective"],
    [{ ...good, tokens: "5 6" }, "tokens"],
    [{ ...good, tokens: [5, -1] }, "tokens[1]"],
    [{ ...good, m: 0 }, '"m"'],
    [{ ...good, anchors: [3] }, "anchors[0]"],
    [{ ...good, anchors: [] }, "anchors"],
    [{ ...full, alpha: "much" }, "alpha"],
    [{ ...full, block: 1.5 }, "block"],
    [{ ...full, prompt_length: 3 }, "prompt_length"],
  ])("names what is wrong with a batch: %j", async (batch, named) => {
    const path = join(folder, "batch.json");
    writeFileSync(path, JSON.stringify(batch));
    const { stderr, status } = await run("llama-tiny", path);
    expect(status).toBe(3);
    expect(stderr).toContain(named.replaceAll('"', ""));
  });

  it.each([
    [good, "MASK embeddings"],
    [{ ...full, mask_token_id: 320 }, "320"],
    [{ ...full, tokens: [1, 2, 3, 400] }, "400"],
  ])("refuses a batch that does not fit the model: %j", async (batch, named) => {
    const path = join(folder, "batch.json");
    writeFileSync(path, JSON.stringify(batch));
    const { stderr, status } = await run("llama-tiny", path);
    expect(status).toBe(2);
    expect(stderr).toContain(named);
  });

  it("refuses to train all weights of a quantised model, or of a model with an adapter", async () => {
    const path = join(folder, "batch.json");
    writeFileSync(path, JSON.stringify(full));
    const quantised = await collect([
      "gradients",
      join(fixtures, "gguf", "tiny64-Q8_0.gguf"),
      "--batch",
      path,
      "--out",
      out,
    ]);
    expect(quantised).toMatchObject({ status: 2, stderr: expect.stringContaining("Q8_0") });
    const adapted = await run("llama-tiny", path, "--adapter", join(fixtures, "idlm", "llama-tiny-entry0"));
    expect(adapted).toMatchObject({ status: 2, stderr: expect.stringContaining("adapter") });
  });
});
