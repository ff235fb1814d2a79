import { expect, it } from "vitest";
import { golden } from "../../../test/support/backend-contract.ts";
import { realModelPath } from "../../../test/support/real-model.ts";
import { collect } from "../terminal/collect-io.ts";

const path = realModelPath();

it.skipIf(path === undefined)("idlm score is as close to the float32 model as llama.cpp", async () => {
  const { text, ids, nll, mean_nll, llamacpp } = golden("smollm2", "goldens.json").text;
  const { status, stdout } = await collect(["score", path as string, "--text", "-", "--json"], { stdin: text });
  expect(status).toBe(0);
  const { tokens, meanNll } = JSON.parse(stdout);
  expect(tokens.map(({ token }: { token: number }) => token)).toEqual(ids);
  const deltas = nll.map((exact: number, i: number) => -tokens[i + 1].logprob - exact);
  const rms = Math.sqrt(deltas.reduce((sum: number, delta: number) => sum + delta * delta, 0) / deltas.length);
  console.log(`Δ mean NLL ${(meanNll - mean_nll).toFixed(5)}, root mean square ${rms.toFixed(5)}`);
  expect(Math.abs(meanNll - mean_nll)).toBeLessThanOrEqual(llamacpp.delta_mean_nll);
  expect(rms).toBeLessThanOrEqual(llamacpp.rms_delta_nll);
});
