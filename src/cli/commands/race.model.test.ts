import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { realModelPath } from "../../../test/support/real-model.ts";
import { collect } from "../terminal/collect-io.ts";

const model = realModelPath();
const adapter = fileURLToPath(new URL("../../../models/smollm2-135m-instruct", import.meta.url));

it.skipIf(model === undefined)(
  "idlm race: SmolLM2 generates the same bytes in fewer forwards with its adapter",
  async () => {
    // The controller's choices depend on measured times; a fixed stride does not.
    const fixed = ["--stride", "3", "--rounds", "1", "--max-tokens", "80"];
    const argv = ["race", model ?? "", "--adapter", adapter, ...fixed, "--json"];
    const { status, stdout, stderr } = await collect(argv);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const { sameBytes, plain, proposing } = JSON.parse(stdout);
    expect(sameBytes).toBe(true);
    expect(plain.tokensPerForward).toBe(1);
    // 1.4 at the time of writing; below 1.2 the proposals are not the adapter's.
    expect(proposing.tokensPerForward).toBeGreaterThan(1.2);
    expect(proposing.acceptanceByDepth[0]).toBeGreaterThan(0.3);
  },
);
