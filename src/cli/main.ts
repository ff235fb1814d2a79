#!/usr/bin/env node
import { fstatSync } from "node:fs";
import { isatty } from "node:tty";
import { errorCatalogue } from "../errors.ts";
import { writeError } from "../formats/files/file-error.ts";
import { runCli } from "./program.ts";
import { FileStream } from "./terminal/file-stream.ts";
import { processIo } from "./terminal/io.ts";

const { exit: unwritable } = errorCatalogue["file-unwritable"];
let minStatus = 0;

/** A file or a device that is not a terminal: Node's own stream loses the rest of a text that does not fit on the disk. */
function isFile(descriptor: number): boolean {
  const stats = fstatSync(descriptor);
  return !isatty(descriptor) && (stats.isFile() || stats.isCharacterDevice() || stats.isBlockDevice());
}

const stdout = isFile(1) ? new FileStream(1) : process.stdout;
stdout.on("error", (error: NodeJS.ErrnoException) => {
  // `idlm run … | head -1`: the reader has closed the pipe, which is not an error.
  if (error.code === "EPIPE") process.exit(0);
  process.stderr.write(`error: ${writeError("standard output", error).message}\n`);
  process.exit(unwritable);
});
process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  // What was to be computed is computed.
  minStatus = unwritable;
});

const status = await runCli(process.argv.slice(2), { ...processIo(), stdout });
// Exits once the output has been flushed, so that an open worker or socket does not keep the process running.
await new Promise((resolve) => stdout.write("", resolve));
process.exit(status === 0 ? minStatus : status);
