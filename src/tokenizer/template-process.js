// @ts-check
/**
 * Renders chat templates in a separate process. Templates are untrusted: they may run forever or take all memory. Only a
 * process can be stopped in both cases without harm to the main process (a worker thread that allocates one large block
 * of memory crashes its process, whatever its resource limits are).
 *
 * JavaScript, not TypeScript, because Node starts it from src/ in tests and from dist/ in the package.
 */
import { createRequire } from "node:module";
import { runInNewContext } from "node:vm";

/**
 * @typedef {object} RenderRequest
 * @property {string} source The template.
 * @property {Readonly<Record<string, unknown>>} variables The template's variables.
 * @property {number} nowMs The time for `strftime_now`.
 * @property {number} maxRenderMs Rendering is stopped after this time.
 *
 * @typedef {object} RenderReply
 * @property {string} [text]
 * @property {string} [malformed] Why the source is not a valid template.
 * @property {string} [raised] The template's message (`raise_exception`).
 * @property {string} [failed] Any other error.
 * @property {boolean} [isSpent] Whether the process must not be used again.
 */

/** Twice the largest conversation that can be read; longer texts fit into no context. */
const MAX_TEXT_LENGTH = 32 * 2 ** 20;
/** Templates use ranges to count turns or tools. */
const MAX_RANGE = 100_000;
/** Above this heap size after a template the process is not used again: it might run out of memory during the next one. */
const MAX_LEFT_BYTES = 64 * 2 ** 20;

const jinja = createRequire(import.meta.url)("@huggingface/jinja");
// A signal to the process group (Ctrl-C, timeout) is handled by the parent, which may continue; this process ends with it.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => undefined);
process.on("message", (/** @type {RenderRequest} */ request) => process.send?.(reply(jinja, request)));
process.send?.("ready");

/**
 * @param {typeof import("@huggingface/jinja")} jinja
 * @param {RenderRequest} request
 * @returns {RenderReply}
 */
function reply({ Environment, Interpreter, parse, tokenize }, { source, variables, nowMs, maxRenderMs }) {
  let isParsed = false;
  const work = () => {
    const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
    isParsed = true;
    const environment = new Environment();
    const all = { ...globals, strftime_now: (/** @type {unknown} */ format) => strftime(new Date(nowMs), format) };
    for (const [name, value] of Object.entries({ ...all, ...variables })) environment.set(name, value);
    return String(new Interpreter(environment).run(program).value);
  };
  try {
    // V8 stops it after this time, whatever it does.
    const text = runInNewContext("work()", { work }, { timeout: maxRenderMs });
    return text.length <= MAX_TEXT_LENGTH ? { text } : { failed: `the result has ${text.length} characters` };
  } catch (error) {
    if (error instanceof RaisedByTemplate) return { raised: error.message };
    const message = String(/** @type {{ message?: unknown } | null} */ (error)?.message ?? error).slice(0, 300);
    const isEndless = /timed out/.test(message);
    const isSpent = isEndless || process.memoryUsage().heapTotal > MAX_LEFT_BYTES;
    const reason = isEndless ? `it did not finish within ${maxRenderMs / 1000} s` : message;
    return isParsed ? { failed: reason, isSpent } : { malformed: reason, isSpent };
  }
}

class RaisedByTemplate extends Error {}

/** Functions of all templates. Those of the library's `Template.render` are the same, but use the real clock. */
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
 * The strftime directives that templates use; unknown ones are left unchanged.
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
