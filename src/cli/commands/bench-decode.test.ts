import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { collect } from "../terminal/collect-io.ts";

const tiny = fileURLToPath(new URL("../../../models/tiny/", import.meta.url));
const short = ["--kinds", "chat", "--prompts", "1", "--pairs", "1", "--max-tokens", "4", "--strides", "2", "--json"];

/** The drafters that `idlm bench decode` compares by default. */
async function drafters(...argv: readonly string[]): Promise<Set<string>> {
  const { status, stdout, stderr } = await collect(["bench", "decode", ...argv, ...short]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const { figures } = JSON.parse(stdout) as { figures: { drafter: string }[] };
  return new Set(figures.map(({ drafter }) => drafter));
}

it("idlm bench decode compares MASK rows by default where the model has some", async () => {
  const model = `${tiny}model.gguf`;
  expect(await drafters(model)).toEqual(new Set(["none", "lookup", "auto"]));
  const adapted = await drafters(model, "--adapter", `${tiny}adapter`);
  expect(adapted).toEqual(new Set(["none", "mask", "lookup", "auto"]));
});

it("idlm bench decode does not leave out a drafter that was named", async () => {
  const { status, stderr } = await collect([
    ...["bench", "decode", `${tiny}model.gguf`, "--drafters", "mask"],
    ...short,
  ]);
  expect(status).toBe(2);
  expect(stderr).toContain("mask needs an adapter with MASK embeddings");
});
