import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { RenderReply, RenderRequest } from "./template-process.js";

/** Rendering takes milliseconds; a template that needs this long runs for ever. */
export const MAX_RENDER_MS = 3000;
/** If the process does not even notice that, it is killed. */
const KILL_AFTER_MS = 1000;
/** Heap of the process. A conversation of 16 MB, the largest that is read, takes a quarter of it. */
const MAX_HEAP_MB = 256;

const program = fileURLToPath(new URL("./template-process.js", import.meta.url));

let child: Promise<ChildProcess> | undefined;
let last: Promise<unknown> = Promise.resolve();

/**
 * Renders a template in the process of template-process.js, which stays for the next one; one at a time, in the order in
 * which they were asked for. Takes a few seconds at worst, in which the caller's thread is free.
 */
export function renderTemplate(request: RenderRequest): Promise<RenderReply> {
  const reply = last.then(() => renderNow(request));
  last = reply;
  return reply;
}

async function renderNow(request: RenderRequest): Promise<RenderReply> {
  // The process is up before it gets anything, so that its start does not count.
  child ??= start();
  let process: ChildProcess;
  try {
    process = await child;
    // It ended while nobody needed it: whatever ended it, the next one is as good.
    if (!process.connected) {
      child = start();
      process = await child;
    }
  } catch (error) {
    child = undefined;
    return { failed: `its process cannot run: ${error instanceof Error ? error.message : String(error)}` };
  }
  const reply = await answerOf(process, request);
  if (reply.isSpent) process.kill("SIGKILL");
  if (reply.isSpent || !process.connected) child = undefined;
  return reply;
}

/** A process that has said that it is ready. It does not keep the program from ending while nobody waits for it. */
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
    started.once("exit", () => reject(new Error("it ended at once")));
    started.once("message", () => resolve(started));
  });
}

function answerOf(process: ChildProcess, request: RenderRequest): Promise<RenderReply> {
  return new Promise((resolve) => {
    const settle = (reply: RenderReply) => {
      clearTimeout(timer);
      process.channel?.unref();
      process.off("message", settle);
      process.off("exit", ended);
      resolve(reply);
    };
    const ended = () => {
      settle({ failed: `its process ended; it may take ${MAX_HEAP_MB} MB of memory`, isSpent: true });
    };
    const endless = { failed: `it did not end within ${request.maxRenderMs / 1000} s`, isSpent: true };
    const timer = setTimeout(() => settle(endless), request.maxRenderMs + KILL_AFTER_MS);
    process.channel?.ref();
    process.on("message", settle);
    process.on("exit", ended);
    if (!process.connected) return ended();
    try {
      process.send(request, () => undefined);
    } catch {
      settle({ failed: "a variable is no plain data" });
    }
  });
}
