import { describeFullGradients, describeGradients } from "../../../test/support/gradient-contract.ts";
import { createReferenceBackend } from "./index.ts";

describeGradients("reference", createReferenceBackend);
describeFullGradients("reference", createReferenceBackend);
