import { randomBytes } from "node:crypto";
import { constants, readlinkSync } from "node:fs";
import { open, readdir, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { IdlmError } from "../../errors.ts";

// A lock is a series of files NAME.1.lock, NAME.2.lock, …, of which the highest number is current. A process acquires it
// by creating the next number, which only one process can, and releases it by writing "released" into the file. So the
// lock of a killed process is taken over without deleting anything first, and never by two processes at once.

export interface LockTiming {
  /** How often a holder touches its file. */
  readonly beatMs: number;
  /** A holder that does not touch its file for so long counts as gone, where its process cannot be checked (another
   * machine, a reused process id). It may also just be suspended: see `tookOver`. */
  readonly silentMs: number;
  /** A file without content for so long is that of a process that was killed before it wrote its id into it. */
  readonly emptyMs: number;
  /** How often a waiting process checks. */
  readonly pollMs: number;
}

const timing: LockTiming = { beatMs: 2000, silentMs: 30_000, emptyMs: 1000, pollMs: 200 };

export interface LockOptions {
  /** What the lock is for, in error messages. */
  readonly subject: string;
  /** Called once before waiting; without it a held lock is the error "busy". */
  readonly onWait?: ((holder: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timing?: Partial<LockTiming> | undefined;
}

export interface Lock {
  /** True if it was taken from a process that may still be alive and have files open: these must not be written to. */
  readonly tookOver: boolean;
  /** False once another process has taken it over, because this one was suspended. */
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

/** Nine digits, never reached in practice. */
const MAX_GENERATION = 999_999_999;
const RELEASED = "released";
const UNREADABLE = "unreadable";
const MAX_CONTENT_BYTES = 1024;

/** Acquires the lock `name` in `folder`, waiting if necessary. Errors: "busy"; the signal's reason; file system errors. */
export async function acquireLock(folder: string, name: string, options: LockOptions): Promise<Lock> {
  const { silentMs, emptyMs, pollMs, beatMs } = { ...timing, ...options.timing };
  let empty: { readonly path: string; readonly sinceMs: number } | undefined;
  let watched: { readonly path: string; readonly touchedMs: number; readonly sinceMs: number } | undefined;
  for (let waited = false; ; ) {
    options.signal?.throwIfAborted();
    const top = await highest(folder, name);
    const { state, holder } = top === undefined ? { state: "free" } : await examine(top);
    if (state === "empty" && top !== undefined) {
      if (empty?.path !== top.path) empty = { path: top.path, sinceMs: performance.now() };
      if (performance.now() - empty.sinceMs < emptyMs) {
        await sleep(Math.min(pollMs, emptyMs), undefined, { signal: options.signal }).catch(() => {});
        continue;
      }
    }
    let silent = false;
    if (state === "held" && top !== undefined) {
      const touchedMs = (await stat(top.path).catch(() => undefined))?.mtimeMs ?? 0;
      if (watched?.path !== top.path || watched.touchedMs !== touchedMs)
        watched = { path: top.path, touchedMs, sinceMs: performance.now() };
      silent = performance.now() - watched.sinceMs > silentMs;
    }
    if (state === "free" || state === "empty" || silent) {
      const lock = await take(folder, name, top, silent, beatMs, options.subject);
      if (lock !== undefined) return lock;
      continue;
    }
    const who = holder === undefined ? "another process" : `process ${holder.pid}`;
    if (options.onWait === undefined) throw busy(options.subject, `${who} is using it`);
    if (!waited) options.onWait(who);
    waited = true;
    await sleep(pollMs, undefined, { signal: options.signal }).catch(() => {});
  }
}

/** Whether a live process holds the lock. */
export async function isLocked(folder: string, name: string): Promise<boolean> {
  const top = await highest(folder, name).catch(() => undefined);
  return top !== undefined && (await examine(top)).state !== "free";
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
  top: Generation | undefined,
  tookOver: boolean,
  beatMs: number,
  subject: string,
): Promise<Lock | undefined> {
  const number = (top?.number ?? 0) + 1;
  if (number > MAX_GENERATION) throw busy(subject, `${folder} has a lock with the number ${MAX_GENERATION}`);
  const path = join(folder, `${name}.${number}.lock`);
  try {
    const handle = await open(path, "wx");
    const token = randomBytes(6).toString("hex");
    try {
      await handle.writeFile(JSON.stringify({ host: thisHost(), pid: process.pid, token }));
    } catch (error) {
      // The disk is full: remove the empty lock, so that no process waits for it.
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
  // This number may have been used and removed before; the highest number counts, not the newest file.
  // A process that seemed killed may have written its id meanwhile: it has the lock unless it saw this higher number.
  const isLate = async () => !tookOver && top !== undefined && (await examine(top)).state === "held";
  if (!(await isHeld()) || (await isLate())) {
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
    // "r+" does not create the file if another process has taken over and removed it.
    const handle = await open(path, "r+").catch(() => undefined);
    // If the disk is full, remove the file, so that no process waits for it.
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

/** Whether a lock is held, without waiting. A file that cannot be read counts as held; one that is being written is empty. */
async function examine({ path }: Generation): Promise<{ state: "free" | "held" | "empty"; holder?: Holder }> {
  const text = await readStart(path).catch((error: NodeJS.ErrnoException) =>
    error.code === "ENOENT" ? RELEASED : UNREADABLE,
  );
  if (text.startsWith(RELEASED)) return { state: "free" };
  if (text === "") return { state: "empty" };
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

/** Identifies the namespace of process ids: the machine and, in a container, its pid namespace. */
function thisHost(): string {
  if (hostText === undefined) {
    hostText = hostname();
    try {
      hostText += ` ${readlinkSync("/proc/self/ns/pid")}`;
    } catch {
      // Not Linux: only the host name is known.
    }
  }
  return hostText;
}
