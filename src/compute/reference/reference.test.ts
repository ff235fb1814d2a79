import { describeBackend } from "../../../test/support/backend-contract.ts";
import { describeProgram } from "../../../test/support/program-contract.ts";
import { describeSampling } from "../../../test/support/sampling-contract.ts";
import { createReferenceBackend } from "./index.ts";

describeBackend("reference", createReferenceBackend);
describeProgram("reference", createReferenceBackend);
describeSampling("reference", createReferenceBackend);
