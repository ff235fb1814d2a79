import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { IdlmError } from "../../errors.ts";
import { packageFolder } from "../../hub/index.ts";
import type { LoadModel, ModelSpec } from "../../server/models/models.ts";
import { defaultSettings, isLoopback, type ServeSettings } from "../../server/settings.ts";
import { addCommonOptions, type Cli, examples } from "../cli.ts";
import { backendOption, contextOption, type LoadOptions, threadsOption } from "../options/generation-options.ts";
import { modelSpecs } from "../options/model-specs.ts";
import { decimal, integer } from "../options/numbers.ts";
import { readTextFile } from "../options/read-text.ts";
import { loadModel } from "../options/requests.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { examineQuietly } from "./doctor.ts";

interface ServeOptions extends Pick<LoadOptions, "draftModel" | "context" | "threads" | "backend"> {
  readonly modelsDir?: string;
  readonly adapter?: readonly string[];
  readonly alias?: readonly string[];
  readonly host: string;
  readonly port: number;
  readonly concurrency: number;
  readonly maxQueue: number;
  readonly streamInterval?: number;
  readonly timeout?: number;
  readonly drain: number;
  readonly apiKey?: readonly string[];
  readonly apiKeyFile?: string;
  /** --no-auth makes it false. */
  readonly auth: boolean;
  readonly allowHost?: readonly string[];
  readonly cors?: readonly string[];
  readonly requestsPerMinute?: number;
  readonly tokensPerMinute?: number;
  readonly metricsCompat?: "vllm";
  readonly logLevel: string;
  readonly logPrompts?: boolean;
  readonly json?: boolean;
}

/** The engine's limit. */
const MAX_CONCURRENCY = 256;
export const DEFAULT_CONCURRENCY = 16;
export const DEFAULT_MAX_QUEUE = 1024;
export const MAX_PORT = 65_535;
/** Shorter keys can be guessed. */
const MIN_KEY_LENGTH = 8;

/** `idlm serve`: an HTTP server. */
export function registerServe(program: Command, cli: Cli): void {
  addCommonOptions(program.command("serve"))
    .summary("serve models over HTTP")
    .description(
      "Serves models over HTTP to clients of the APIs of OpenAI, Anthropic, Ollama and llama-server. Requests of all clients share forwards, and each gets the text that idlm run prints. Prints the address on standard error; Ctrl-C or SIGTERM lets running requests end.",
    )
    .argument("[models...]", "models as in run; the first one is loaded at once, others when a request names them")
    .option("--models-dir <dir>", "also serve the GGUF files and Hugging Face folders in this folder")
    .addOption(
      new Option(
        "--adapter <[name=]dir>",
        "adapter folder or ORG/REPO for the first model; with NAME= as a model of that name, which shares the weights; may be given several times (default: the catalogue's)",
      ).argParser(collect),
    )
    .addOption(
      new Option("--alias <name>", "another name of the first model; may be given several times").argParser(collect),
    )
    .addOption(new Option("--draft-model <model>", "draft model: a smaller model with the same vocabulary"))
    .addOption(contextOption("context length, prompt and completion (default: the model's, as far as memory allows)"))
    .addOption(threadsOption())
    .addOption(backendOption())
    .option(
      "--concurrency <n>",
      `answers of a model that are generated at once, 1 to ${MAX_CONCURRENCY}`,
      integer({ min: 1, max: MAX_CONCURRENCY }),
      DEFAULT_CONCURRENCY,
    )
    .option(
      "--max-queue <n>",
      "answers that may wait; more are refused with status 429",
      integer({ min: 0 }),
      DEFAULT_MAX_QUEUE,
    )
    .option(
      "--stream-interval <n>",
      "parts of a stream that share a write, 1 to 64; 1: each part is written at once (default: 2, with four or more requests 3)",
      integer({ min: 1, max: 64 }),
    )
    .option("--timeout <seconds>", "most time of a request (default: none)", decimal({ min: 0, above: true }))
    .option("--drain <seconds>", "time that running requests have after SIGTERM", decimal({ min: 0 }), 30)
    .option("--requests-per-minute <n>", "most requests of a key, or without keys of an address", integer({ min: 1 }))
    .option("--tokens-per-minute <n>", "most tokens of a key, prompts and answers", integer({ min: 1 }))
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <n>", "port to listen on; 0: any free one", integer({ min: 0, max: MAX_PORT }), 8080)
    .addOption(new Option("--api-key <key>", "a key that gives access; may be given several times").argParser(collect))
    .option("--api-key-file <file>", "keys that give access, one per line")
    .option("--no-auth", "ask for no key, although other machines reach the address")
    .addOption(
      new Option("--allow-host <name>", "also accept this name in Host headers; may be given several times").argParser(
        collect,
      ),
    )
    .addOption(
      new Option(
        "--cors <origin>",
        "let pages of this origin use the server, * for all; may be given several times",
      ).argParser(collect),
    )
    .addOption(
      new Option("--log-level <level>", "what to log on standard error, as lines of JSON")
        .choices(["silent", "error", "warn", "info", "debug"])
        .default("info"),
    )
    .option("--log-prompts", "also log the bodies of requests")
    .addOption(new Option("--metrics-compat <names>", "also name metrics like this server").choices(["vllm"]))
    .option("--json", "print the address on standard output, as JSON")
    .addHelpText(
      "after",
      examples(
        "idlm serve smollm2-135m-instruct",
        "idlm serve model.gguf --host 0.0.0.0 --api-key-file keys.txt",
        "idlm serve base.gguf --adapter tuned=my-adapter --models-dir models",
      ),
    )
    .action(async (models: readonly string[], options: ServeOptions) => {
      await withInterrupt(cli.io, (signal) => serve(cli, models, options, signal));
    });
}

async function serve(cli: Cli, sources: readonly string[], options: ServeOptions, signal: AbortSignal): Promise<void> {
  const specs = modelSpecs(sources, options);
  const [first] = sources.length === 0 ? [] : specs;
  const onListening = (url: string) => {
    cli.io.stderr.write(`listening on ${url}\n`);
    if (options.json) cli.io.stdout.write(`${JSON.stringify({ url })}\n`);
  };
  const { adapter: _, ...load } = options;
  const settings = settingsOf(options);
  await runServer(cli, { specs, preload: first?.name, settings, options: load, onListening }, signal);
}

/** What a server is started with. */
export interface ServePlan {
  readonly specs: readonly ModelSpec[];
  /** The model that is loaded at once. */
  readonly preload: string | undefined;
  readonly settings: ServeSettings;
  /** How models are loaded, and what is logged. */
  readonly options: Pick<
    ServeOptions,
    "draftModel" | "context" | "threads" | "backend" | "concurrency" | "maxQueue" | "logLevel"
  >;
  /** Called with http://HOST:PORT. */
  readonly onListening: (url: string) => void;
}

/** Serves until the signal is aborted. */
export async function runServer(
  cli: Cli,
  { specs, preload, settings, options, onListening }: ServePlan,
  signal: AbortSignal,
): Promise<void> {
  const { io } = cli;
  // Loaded here, so that other commands start without them.
  const [{ startServer }, { pino }] = await Promise.all([import("../../server/server.ts"), import("pino")]);
  const { concurrency: maxSequences, maxQueue } = options;
  const load: LoadModel = ({ source, adapter }, { signal: stopped, ...beside }) => {
    return loadModel(io, source, { ...options, ...(adapter !== undefined && { adapter }) }, stopped, {
      ...{ maxSequences, maxQueue, ...beside },
    });
  };
  const log = pino({ level: options.logLevel, base: null }, { write: (line) => void io.stderr.write(line) });
  const doctor = () => {
    const [first] = specs;
    if (first === undefined) throw new TypeError("no model is served");
    const { threads } = options;
    const adapter = first.adapter === false ? undefined : first.adapter;
    const chosen = { ...(threads !== undefined && { threads }), ...(adapter !== undefined && { adapter }) };
    return examineQuietly(cli, first.source, first.name, chosen, signal);
  };
  const server = await startServer({ specs, load, settings, log, doctor });
  try {
    onListening(server.url);
    if (preload !== undefined) await server.models.preload(preload, signal);
    await aborted(signal);
  } catch (error) {
    // Stopped while it loads.
    if (!signal.aborted) throw error;
  } finally {
    await server.stop();
  }
}

function settingsOf(options: ServeOptions): ServeSettings {
  const { host, port, maxQueue, concurrency, timeout, drain, allowHost = [], cors = [] } = options;
  const apiKeys = [...(options.apiKey ?? []), ...(options.apiKeyFile === undefined ? [] : keysOf(options.apiKeyFile))];
  for (const key of apiKeys) {
    if (key.length < MIN_KEY_LENGTH || /\s/.test(key)) {
      throw usage(`a key of ${key.length} characters`, `Use ${MIN_KEY_LENGTH} or more, without spaces.`);
    }
  }
  if (!isLoopback(host) && apiKeys.length === 0 && options.auth) {
    const hint = "Give --api-key or --api-key-file, or --no-auth to let everybody in.";
    throw usage(`other machines may reach ${host}, so a key is needed`, hint);
  }
  if (apiKeys.length > 0 && !options.auth) throw usage("--no-auth contradicts --api-key", "Give one of them.");
  return {
    ...defaultSettings,
    ...{ host, port, apiKeys, allowHosts: allowHost, cors: cors.map(originOf) },
    streamInterval: options.streamInterval,
    timeoutMs: timeout === undefined ? undefined : 1000 * timeout,
    drainMs: 1000 * drain,
    ...{ page: playgroundFile(), grammarThread: grammarThreadFile() },
    maxRequests: maxQueue + concurrency,
    ...{ requestsPerMinute: options.requestsPerMinute, tokensPerMinute: options.tokensPerMinute },
    ...{ logsPrompts: options.logPrompts === true, hasVllmMetrics: options.metricsCompat === "vllm" },
  };
}

/** The thread that compiles grammars, as `npm run build` makes it. */
export function grammarThreadFile(): string {
  return join(packageFolder(), "dist", "grammar-thread.js");
}

/** The page that `npm run build` makes. */
export function playgroundFile(): string {
  return join(packageFolder(), "dist", "playground.html");
}

/** The keys of a file: one per line; empty lines and lines that begin with # are none. */
function keysOf(path: string): string[] {
  const lines = readTextFile(path, "It has one key per line.").split(/\r?\n/);
  const keys = lines.map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length === 0) throw usage(`${path} has no key`, "Write one key per line.");
  return keys;
}

/** An origin as browsers send it. */
function originOf(text: string): string {
  if (text === "*" || text === "null") return text;
  if (/^[a-z][a-z0-9+.-]*:\/\/[^/\s]+\/?$/i.test(text)) return text.replace(/\/$/, "").toLowerCase();
  throw usage(`--cors ${JSON.stringify(text)} is not an origin`, "Write it as https://example.com, or * for all.");
}

function usage(problem: string, hint: string): IdlmError {
  return new IdlmError("usage", { problem, hint });
}

function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  if (text === "") throw new InvalidArgumentError("Expected a text that is not empty.");
  return [...(before ?? []), text];
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
