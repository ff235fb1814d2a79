import { randomBytes } from "node:crypto";
import { constants, readlinkSync } from "node:fs";
import { open, readdir, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { IdlmError } from "../../errors.ts";

// A lock is a row of files NAME.1.lock, NAME.2.lock, …: the highest number counts. It is taken by creating the next
// number, which only one process can, and given back by writing "released" into it. So a lock of a killed process is
// taken over without anything being deleted first, and there is no moment in which two can both believe they did so.

export interface LockTiming {
  /** How often a holder touches its file. */
  readonly beatMs: number;
  /** A holder that cannot be asked (another machine, a number that another process has now) and does not touch its file
   * for so long counts as gone. It may only be suspended: see `tookOver`. */
  readonly silentMs: number;
  /** How often one who waits looks. */
  readonly pollMs: number;
}

const timing: LockTiming = { beatMs: 2000, silentMs: 30_000, pollMs: 200 };

export interface LockOptions {
  /** What the lock is for, in error messages. */
  readonly subject: string;
  /** Called once if there is somebody to wait for; without it a lock that is taken is the error "busy". */
  readonly onWait?: ((holder: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timing?: Partial<LockTiming> | undefined;
}

export interface Lock {
  /** True where it was taken from a process that may still live: files that it has open must not be written to. */
  readonly tookOver: boolean;
  /** False once another process has taken it over, because this one was suspended for long. */
  isHeld(): Promise<boolean>;
  release(): Promise<void>;
}

interface Holder {
  readonly host: string;
  readonly pid: number;
}

interface Generation {
  readonly number: number;
  readonly path: string;
}

/** Nine digits: nobody gets there by taking locks. */
const MAX_GENERATION = 999_999_999;
const RELEASED = "released";
const MAX_CONTENT_BYTES = 1024;

/** Takes the lock `name` in `folder`, waiting for it if need be. Errors: "busy"; the signal's reason; the file system's. */
export async function acquireLock(folder: string, name: string, options: LockOptions): Promise<Lock> {
  const { silentMs, pollMs, beatMs } = { ...timing, ...options.timing };
  let watched: { readonly path: string; readonly touchedMs: number; readonly sinceMs: number } | undefined;
  for (let waited = false; ; ) {
    options.signal?.throwIfAborted();
    const top = await highest(folder, name);
    const { state, holder } = top === undefined ? { state: "free" } : await examine(top);
    let silent = false;
    if (state === "held" && top !== undefined) {
      const touchedMs = (await stat(top.path).catch(() => undefined))?.mtimeMs ?? 0;
      if (watched?.path !== top.path || watched.touchedMs !== touchedMs)
        watched = { path: top.path, touchedMs, sinceMs: performance.now() };
      silent = performance.now() - watched.sinceMs > silentMs;
    }
    if (state === "free" || silent) {
      const lock = await take(folder, name, (top?.number ?? 0) + 1, silent, beatMs, options.subject);
      if (lock !== undefined) return lock;
      continue;
    }
    const who = holder === undefined ? "another process" : `process ${holder.pid}`;
    if (options.onWait === undefined) throw busy(options.subject, `${who} is at work on it`);
    if (!waited) options.onWait(who);
    waited = true;
    await sleep(pollMs, undefined, { signal: options.signal }).catch(() => {});
  }
}

/** Whether somebody who still lives holds the lock. */
export async function isLocked(folder: string, name: string): Promise<boolean> {
  const top = await highest(folder, name).catch(() => undefined);
  return top !== undefined && (await examine(top)).state === "held";
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function busy(name: string, reason: string): IdlmError {
  return new IdlmError("busy", { name, reason, hint: "Try again when it is done." });
}

/** Undefined where another process was faster. */
async function take(
  folder: string,
  name: string,
  number: number,
  tookOver: boolean,
  beatMs: number,
  subject: string,
): Promise<Lock | undefined> {
  if (number > MAX_GENERATION) throw busy(subject, `${folder} holds a lock of the number ${MAX_GENERATION}`);
  const path = join(folder, `${name}.${number}.lock`);
  try {
    const handle = await open(path, "wx");
    const token = randomBytes(6).toString("hex");
    try {
      await handle.writeFile(JSON.stringify({ host: thisHost(), pid: process.pid, token }));
    } catch (error) {
      // A full disk: nobody has to wait for a lock that says nothing.
      await rm(path, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw error;
  }
  const isHeld = async () => (await highest(folder, name))?.number === number;
  // A number that somebody used and removed long ago could be created again: the highest counts, not the newest.
  if (!(await isHeld())) {
    await rm(path, { force: true });
    return undefined;
  }
  for (const lower of await generations(folder, name)) {
    if (lower.number < number) await rm(lower.path, { force: true }).catch(() => {});
  }
  const beat = setInterval(() => {
    const now = new Date();
    void utimes(path, now, now).catch(() => {});
  }, beatMs);
  beat.unref();
  const release = async () => {
    clearInterval(beat);
    // r+: where another process took over and removed the file, it is not made again.
    const handle = await open(path, "r+").catch(() => undefined);
    // Where even that does not fit on the disk, nobody has to wait for it to count as silent.
    await handle?.write(RELEASED, 0).catch(() => rm(path, { force: true }).catch(() => {}));
    await handle?.close();
  };
  return { tookOver, isHeld, release };
}

async function generations(folder: string, name: string): Promise<Generation[]> {
  const found: Generation[] = [];
  for (const file of await readdir(folder)) {
    const number = file.startsWith(`${name}.`) && /^(\d{1,9})\.lock$/.exec(file.slice(name.length + 1))?.[1];
    if (number) found.push({ number: Number(number), path: join(folder, file) });
  }
  return found;
}

async function highest(folder: string, name: string): Promise<Generation | undefined> {
  return (await generations(folder, name)).toSorted((a, b) => a.number - b.number).at(-1);
}

/** Whether a lock is held, as far as can be told at once. What cannot be read (yet) counts as held. */
async function examine({ path }: Generation): Promise<{ state: "free" | "held"; holder?: Holder }> {
  const text = await readStart(path).catch((error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? RELEASED : ""));
  if (text.startsWith(RELEASED)) return { state: "free" };
  const holder = parseHolder(text);
  if (holder === undefined) return { state: "held" };
  const isDead = holder.host === thisHost() && !isRunning(holder.pid);
  return isDead ? { state: "free", holder } : { state: "held", holder };
}

async function readStart(path: string): Promise<string> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_CONTENT_BYTES), 0, MAX_CONTENT_BYTES, 0);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await handle.close();
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const { host, pid } = JSON.parse(text) as Partial<Record<keyof Holder, unknown>>;
    const valid = typeof host === "string" && typeof pid === "number" && Number.isSafeInteger(pid) && pid > 0;
    return valid ? { host, pid } : undefined;
  } catch {
    return undefined;
  }
}

let hostText: string | undefined;

/** Where a process number means the same process: a machine and, in a container, its own numbering. */
function thisHost(): string {
  if (hostText === undefined) {
    hostText = hostname();
    try {
      hostText += ` ${readlinkSync("/proc/self/ns/pid")}`;
    } catch {
      // Not Linux: the name of the machine is all there is.
    }
  }
  return hostText;
}
