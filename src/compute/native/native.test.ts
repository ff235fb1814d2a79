import { expect, it } from "vitest";
import { describeBackend, loadFixture } from "../../../test/support/backend-contract.ts";
import { createNativeBackend, supportedInstructionSets } from "./index.ts";

for (const instructionSet of supportedInstructionSets()) {
  describeBackend(`native ${instructionSet}`, () => createNativeBackend({ threads: 2, instructionSet }));
}

it("refuses block types that it has no kernels for, by name", async () => {
  await expect(loadFixture(createNativeBackend(), "gguf/tiny256-Q4_0.gguf", "gguf")).rejects.toMatchObject({
    code: "unsupported",
    message: expect.stringContaining("Q6_K"),
  });
});

it("refuses threads and instruction sets that are not there", () => {
  expect(() => createNativeBackend({ threads: 0 })).toThrow(/threads/);
  expect(() => createNativeBackend({ instructionSet: "sse" as never })).toThrow(/sse/);
});
