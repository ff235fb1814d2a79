import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { RenderReply, RenderRequest } from "./template-process.js";

/** Rendering takes milliseconds; a template that takes this long is in an endless loop. */
export const MAX_RENDER_MS = 3000;
/** The process is killed if it does not stop by itself within this additional time. */
const KILL_AFTER_MS = 1000;
/** Heap limit of the process. A conversation of 16 MB, the largest that can be read, takes a quarter of it. */
const MAX_HEAP_MB = 256;

const program = fileURLToPath(new URL("./template-process.js", import.meta.url));

let child: Promise<ChildProcess> | undefined;
let last: Promise<unknown> = Promise.resolve();

/**
 * Renders a template in the process of template-process.js, which is kept for further templates. Requests run one at a
 * time, in order. Takes a few seconds at worst, without blocking the caller's thread.
 */
export function renderTemplate(request: RenderRequest): Promise<RenderReply> {
  const reply = last.then(() => renderNow(request));
  last = reply;
  return reply;
}

async function renderNow(request: RenderRequest): Promise<RenderReply> {
  // The request is sent once the process is ready, so that its start does not count as rendering time.
  child ??= start();
  let process: ChildProcess;
  try {
    process = await child;
    // The process ended while idle: start another one.
    if (!process.connected) {
      child = start();
      process = await child;
    }
  } catch (error) {
    child = undefined;
    return { failed: `its process cannot run: ${error instanceof Error ? error.message : String(error)}` };
  }
  const reply = await send(process, request);
  if (reply.isSpent) process.kill("SIGKILL");
  if (reply.isSpent || !process.connected) child = undefined;
  return reply;
}

/** Starts a process and waits until it is ready. It does not keep the program running while idle. */
function start(): Promise<ChildProcess> {
  const started = fork(program, [], {
    execArgv: [`--max-old-space-size=${MAX_HEAP_MB}`],
    env: { ...process.env, NODE_OPTIONS: "" },
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    serialization: "advanced",
  });
  started.unref();
  return new Promise((resolve, reject) => {
    started.once("error", reject);
    started.once("exit", () => reject(new Error("it exited at once")));
    started.once("message", () => resolve(started));
  });
}

function send(process: ChildProcess, request: RenderRequest): Promise<RenderReply> {
  return new Promise((resolve) => {
    const settle = (reply: RenderReply) => {
      clearTimeout(timer);
      process.channel?.unref();
      process.off("message", settle);
      process.off("exit", ended);
      resolve(reply);
    };
    const ended = () => {
      settle({ failed: `its process ended; it is limited to ${MAX_HEAP_MB} MB of memory`, isSpent: true });
    };
    const endless = { failed: `it did not finish within ${request.maxRenderMs / 1000} s`, isSpent: true };
    const timer = setTimeout(() => settle(endless), request.maxRenderMs + KILL_AFTER_MS);
    process.channel?.ref();
    process.on("message", settle);
    process.on("exit", ended);
    if (!process.connected) return ended();
    try {
      process.send(request, () => undefined);
    } catch {
      settle({ failed: "a variable is not plain data" });
    }
  });
}
