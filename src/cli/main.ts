#!/usr/bin/env node
import { processIo } from "./terminal/io.ts";
import { runCli } from "./program.ts";

for (const stream of [process.stdout, process.stderr]) {
  // `idlm run … | head -1`: the reader has closed the pipe, which is not an error.
  stream.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
}

const status = await runCli(process.argv.slice(2), processIo());
// Exits once the output has been flushed, so that an open worker or socket does not keep the process running.
await new Promise((resolve) => process.stdout.write("", resolve));
process.exit(status);
