import { describeFullGradients, describeGradients } from "../../../test/support/gradient-contract.ts";
import { ReferenceFullModel } from "./full-model.ts";
import { createReferenceBackend } from "./index.ts";

describeGradients("reference", createReferenceBackend);
describeFullGradients("reference", async (program) => new ReferenceFullModel(program));
