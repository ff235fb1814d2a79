#!/usr/bin/env node
import { processIo } from "./terminal/io.ts";
import { runCli } from "./program.ts";

for (const stream of [process.stdout, process.stderr]) {
  // `idlm run … | head -1`: the reader has what it wanted, so there is nothing to report and nothing left to do.
  stream.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
}

const status = await runCli(process.argv.slice(2), processIo());
// An explicit exit, once what was written has left: a worker or a socket that is still open must not hold the shell.
await new Promise((resolve) => process.stdout.write("", resolve));
process.exit(status);
