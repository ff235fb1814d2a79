import { describeBackend } from "../../../test/support/backend-contract.ts";
import { describeSampling } from "../../../test/support/sampling-contract.ts";
import { createReferenceBackend } from "./index.ts";

describeBackend("reference", createReferenceBackend);
describeSampling("reference", createReferenceBackend);
