import { describeBackend } from "../../../test/support/backend-contract.ts";
import { createReferenceBackend } from "./index.ts";

describeBackend("reference", createReferenceBackend);
