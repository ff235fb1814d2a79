// @ts-check
/**
 * Renders chat templates in a process of its own. A template comes from a file: it may run for ever, and it may take all
 * memory. Only a process can be stopped from both without harm to the one that serves (a worker thread that asks for
 * one large piece of memory takes its process with it, whatever its resource limits are).
 *
 * Callers wait without giving up their turn, so two parts are needed, both in this file: a worker thread that talks to the
 * process while the caller's thread sleeps, and the process. JavaScript, not TypeScript, because Node starts it from
 * src/ in tests and from dist/ in the package.
 */
import { fork } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import { isMainThread, workerData } from "node:worker_threads";

/**
 * @typedef {object} RenderRequest
 * @property {string} source The template.
 * @property {Readonly<Record<string, unknown>>} [variables] What it sees; left out: it is parsed only.
 * @property {number} [nowMs] What `strftime_now` sees.
 *
 * @typedef {object} RenderReply
 * @property {string} [text]
 * @property {string} [raised] The template's own message (`raise_exception`).
 * @property {string} [failed] What went wrong otherwise.
 * @property {boolean} [isSpent] The process is not fit for another template.
 */

/** Rendering takes milliseconds; a template that needs this long runs for ever. */
const MAX_RENDER_MS = 3000;
/** If the process does not even notice that, it is killed. */
const KILL_AFTER_MS = MAX_RENDER_MS + 1000;
/** Heap of the process. A conversation of 16 MB, the largest that is read, takes a quarter of it. */
const MAX_HEAP_MB = 256;
/** Twice the largest conversation that is read; what is longer fits no context. */
const MAX_TEXT_LENGTH = 32 * 2 ** 20;
/** Templates count turns or tools. */
const MAX_RANGE = 100_000;

if (isMainThread) runProcess();
else runWorker(workerData.port, new Int32Array(workerData.done));

/**
 * In the worker: hands each request to the process, starts a new one where the last one ended, and wakes the caller.
 * @param {import("node:worker_threads").MessagePort} port
 * @param {Int32Array} done
 */
function runWorker(port, done) {
  /** @type {import("node:child_process").ChildProcess | undefined} */
  let child;
  /** @type {RenderRequest | undefined} What the process has not answered yet. */
  let pending;
  /** @type {NodeJS.Timeout | undefined} */
  let timer;

  /** @param {RenderReply} reply */
  const answer = (reply) => {
    clearTimeout(timer);
    if (pending === undefined) return;
    pending = undefined;
    if (reply.isSpent) {
      child?.kill("SIGKILL");
      child = undefined;
    }
    port.postMessage(reply);
    Atomics.store(done, 0, 1);
    Atomics.notify(done, 0);
  };
  const start = () => {
    const started = fork(fileURLToPath(import.meta.url), [], {
      execArgv: [`--max-old-space-size=${MAX_HEAP_MB}`],
      env: { ...process.env, NODE_OPTIONS: "" },
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    started.on("message", (/** @type {RenderReply | "ready"} */ reply) => {
      if (child !== started) return;
      if (reply !== "ready") answer(reply);
      else if (pending !== undefined) send(started, pending);
    });
    const ended = (/** @type {string} */ how) => {
      if (child !== started) return;
      child = undefined;
      answer({ failed: how });
    };
    started.on("error", (error) => ended(`its process cannot run: ${error.message}`));
    started.on("exit", () => ended(`its process ended; it may take ${MAX_HEAP_MB} MB of memory`));
    return started;
  };
  const send = (/** @type {import("node:child_process").ChildProcess} */ to, /** @type {RenderRequest} */ request) => {
    to.send(request, () => undefined);
    timer = setTimeout(() => answer({ failed: endless, isSpent: true }), KILL_AFTER_MS);
  };
  port.on("message", (/** @type {RenderRequest} */ request) => {
    pending = request;
    if (child?.connected) send(child, request);
    // The process asks for the request once it is up, so that its start does not count.
    else child = start();
  });
}

const endless = `it did not end within ${MAX_RENDER_MS / 1000} s`;

/** In the process: answers each request, and ends with the one that started it. */
function runProcess() {
  const jinja = createRequire(import.meta.url)("@huggingface/jinja");
  // Ctrl-C is for the command that waits, which may go on.
  process.on("SIGINT", () => undefined);
  process.on("message", (/** @type {RenderRequest} */ request) => process.send?.(reply(jinja, request)));
  process.send?.("ready");
}

/**
 * @param {typeof import("@huggingface/jinja")} jinja
 * @param {RenderRequest} request
 * @returns {RenderReply}
 */
function reply({ Environment, Interpreter, parse, tokenize }, { source, variables, nowMs = 0 }) {
  const work = () => {
    const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
    if (variables === undefined) return "";
    const environment = new Environment();
    const all = { ...globals, strftime_now: (/** @type {unknown} */ format) => strftime(new Date(nowMs), format) };
    for (const [name, value] of Object.entries({ ...all, ...variables })) environment.set(name, value);
    return String(new Interpreter(environment).run(program).value);
  };
  try {
    // V8 ends it after the time, whatever it does.
    const text = runInNewContext("work()", { work }, { timeout: MAX_RENDER_MS });
    return text.length <= MAX_TEXT_LENGTH ? { text } : { failed: `it wrote ${text.length} characters` };
  } catch (error) {
    if (error instanceof RaisedByTemplate) return { raised: error.message };
    const message = String(/** @type {{ message?: unknown } | null} */ (error)?.message ?? error);
    const isEndless = /timed out/.test(message);
    // What a template has left could end the process during the next one.
    const isSpent = isEndless || process.memoryUsage().heapTotal > (MAX_HEAP_MB / 4) * 2 ** 20;
    return { failed: isEndless ? endless : message.slice(0, 300), isSpent };
  }
}

class RaisedByTemplate extends Error {}

/** What every template may call; `Template.render` of the library has them too, but with a clock of its own. */
const globals = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception: (/** @type {unknown} */ message) => {
    throw new RaisedByTemplate(String(message));
  },
  range: (/** @type {number} */ first, /** @type {number | undefined} */ end, step = 1) => {
    const [from, to] = end === undefined ? [0, first] : [first, end];
    const n = Math.max(0, Math.ceil((to - from) / step));
    if (!(n <= MAX_RANGE)) throw new RaisedByTemplate(`range of ${n} is longer than ${MAX_RANGE}`);
    return Array.from({ length: n }, (_, i) => from + i * step);
  },
};

/**
 * The directives of strftime that templates use; unknown ones stay as they are.
 * @param {Date} date
 * @param {unknown} format
 */
function strftime(date, format) {
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const name = (/** @type {Intl.DateTimeFormatOptions} */ options) => date.toLocaleDateString("en-US", options);
  /** @type {Readonly<Record<string, string>>} */
  const directives = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    e: String(date.getDate()).padStart(2, " "),
    H: two(date.getHours()),
    I: two(date.getHours() % 12 || 12),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    p: date.getHours() < 12 ? "AM" : "PM",
    B: name({ month: "long" }),
    b: name({ month: "short" }),
    A: name({ weekday: "long" }),
    a: name({ weekday: "short" }),
    "%": "%",
  };
  return String(format).replace(/%([a-zA-Z%])/g, (all, directive) => directives[directive] ?? all);
}
