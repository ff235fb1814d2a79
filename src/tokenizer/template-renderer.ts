import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import type { RenderReply, RenderRequest } from "./template-process.js";

/** A process starts in a tenth of a second, and ends what it renders by itself; on a busy machine both take longer. */
const MAX_WAIT_MS = 30_000;

interface Renderer {
  readonly port: MessagePort;
  readonly done: Int32Array;
}

let renderer: Renderer | undefined;

/**
 * Renders a template, or only parses it, in the process of template-process.js, which stays for the next one. Waits for
 * it, a few seconds at worst.
 */
export function renderTemplate(request: RenderRequest): RenderReply {
  renderer ??= startRenderer();
  const { port, done } = renderer;
  Atomics.store(done, 0, 0);
  try {
    port.postMessage(request);
  } catch {
    return { failed: "a variable is no plain data" };
  }
  Atomics.wait(done, 0, 0, MAX_WAIT_MS);
  const reply = receiveMessageOnPort(port) as { readonly message: RenderReply } | undefined;
  if (reply !== undefined) return reply.message;
  // An answer that comes later must not be taken for that of another template.
  renderer = undefined;
  port.close();
  return { failed: "its process does not answer" };
}

function startRenderer(): Renderer {
  const { port1: port, port2 } = new MessageChannel();
  const done = new SharedArrayBuffer(4);
  const worker = new Worker(new URL("./template-process.js", import.meta.url), {
    workerData: { port: port2, done },
    transferList: [port2],
  });
  // Neither keeps the program from ending.
  worker.unref();
  port.unref();
  return { port, done: new Int32Array(done) };
}
