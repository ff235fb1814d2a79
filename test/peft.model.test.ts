import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { collect } from "../src/cli/terminal/collect-io.ts";
import { openSafetensors } from "../src/formats/safetensors/safetensors.ts";
import { toFloat32 } from "../src/formats/tensor/dequantise.ts";
import { writeTrainingText } from "./support/training-text.ts";

/** A Python with torch, transformers and peft. */
const python = process.env.IDLM_TEST_PYTHON ?? "python3";
const hasPeft = works(["-c", "import peft, torch, transformers"]);
if (!hasPeft) console.warn(`skipped: ${python} has no peft and transformers (IDLM_TEST_PYTHON names another Python)`);

function works(args: readonly string[]): boolean {
  try {
    execFileSync(python, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const root = mkdtempSync(join(tmpdir(), "idlm-peft-"));
afterAll(() => rmSync(root, { recursive: true }));
const base = join(import.meta.dirname, "fixtures/models/llama-tiny");
const model = join(base, "model.f32.gguf");
const tokens = [5, 17, 80, 200, 3, 44, 45, 120];

/** Loads an adapter, warnings being errors, and prints the logits with it and without. */
const program = `
import json, sys, warnings
import peft, torch, transformers
warnings.simplefilter("error", UserWarning)
base, adapter, tokens = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
ids = torch.tensor([tokens])
with torch.no_grad():
    before = model(ids).logits[0].flatten().tolist()
    model = peft.PeftModel.from_pretrained(model, adapter)
    layers = sorted({int(n.split(".layers.")[1].split(".")[0]) for n, _ in model.named_parameters() if "lora_B" in n})
    after = model(ids).logits[0].flatten().tolist()
print(json.dumps({"before": before, "after": after, "layers": layers}))
`;

function largestDifference(a: Float32Array | number[], b: Float32Array | number[]): number {
  expect(a.length).toBe(b.length);
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] ?? Number.NaN))));
}

it.skipIf(!hasPeft).each([
  [0, [0, 1]],
  [1, [1]],
])("Python's peft loads what idlm train writes, entry layer %i, and computes the same", async (entryLayer, layers) => {
  const data = join(root, "data");
  writeTrainingText(data, { model, vocabSize: 320, rows: 12, heldOut: 2 });
  const out = join(root, `trained${entryLayer}`);
  const shape = ["--entry-layer", String(entryLayer), "--rank", "4", "--masks", "2", "--draft-vocabulary", "50"];
  const run = ["--steps", "8", "--learning-rate", "0.05", "--batch-rows", "16", "--held-out-rows", "0"];
  const trained = await collect(["train", model, "--data", data, "--out", out, ...shape, ...run]);
  expect(trained).toMatchObject({ status: 0 });

  const [before, after, found] = (({ before: a, after: b, layers: c }) => [a, b, c])(
    JSON.parse(execFileSync(python, ["-c", program, base, out, JSON.stringify(tokens)], { encoding: "utf8" })),
  );
  expect(found).toEqual(layers);
  expect(largestDifference(before, after)).toBeGreaterThan(0.01);

  // The files of peft alone are an adapter for all gated rows.
  const plain = join(root, `plain${entryLayer}`);
  mkdirSync(plain);
  for (const name of ["adapter_config.json", "adapter_model.safetensors"]) cpSync(join(out, name), join(plain, name));
  const forest = join(root, "forest.json");
  const rows = { positions: tokens.map((_, i) => i), parents: tokens.map((_, i) => i - 1), gate: tokens.map(() => 1) };
  writeFileSync(forest, JSON.stringify({ tokens, ...rows }));
  const file = join(root, "logits.safetensors");
  const forward = ["forward", model, "--forest", forest, "--adapter", plain, "--out", file, "--backend", "reference"];
  expect(await collect(forward)).toMatchObject({ status: 0 });
  const opened = openSafetensors(file);
  const logits = opened.tensors.get("logits");
  if (logits === undefined) throw new Error(`${file} has no logits`);
  expect(largestDifference(toFloat32(logits), after)).toBeLessThan(1e-3);
  opened.close();
  expect(JSON.parse(readFileSync(join(plain, "adapter_config.json"), "utf8"))).toMatchObject({ peft_type: "LORA" });
});
