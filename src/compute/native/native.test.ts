import { describeBackend } from "../../../test/support/backend-contract.ts";
import { createNativeBackend, supportedInstructionSets } from "./index.ts";

for (const instructionSet of supportedInstructionSets()) {
  describeBackend(`native ${instructionSet}`, () => createNativeBackend({ threads: 2, instructionSet }));
}
