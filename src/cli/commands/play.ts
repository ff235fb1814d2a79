import type { Command } from "commander";
import { IdlmError } from "../../errors.ts";
import { defaultSettings } from "../../server/settings.ts";
import { addCommonOptions, type Cli, examples } from "../cli.ts";
import { addLoadOptions, type LoadOptions } from "../options/generation-options.ts";
import { modelSpecs } from "../options/model-specs.ts";
import { integer } from "../options/numbers.ts";
import { withInterrupt } from "../terminal/interrupt.ts";
import { openBrowser } from "../terminal/open-browser.ts";
import { RACE_MODEL } from "./race.ts";
import {
  DEFAULT_CONCURRENCY,
  DEFAULT_MAX_QUEUE,
  grammarThreadFile,
  MAX_PORT,
  playgroundFile,
  runServer,
} from "./serve.ts";

interface PlayOptions extends LoadOptions {
  readonly port?: number;
  /** --no-open makes it false. */
  readonly open: boolean;
}

/** `idlm play`: the playground in the browser. */
export function registerPlay(program: Command, cli: Cli): void {
  addLoadOptions(addCommonOptions(program.command("play")))
    .summary("open the playground in the browser")
    .description(
      "Serves a model on this machine only and opens the playground: chat, with the rounds behind each answer, and a race against plain decoding. Ctrl-C ends it.",
    )
    .argument("[model]", `a model as in run (default: ${RACE_MODEL})`)
    .option(
      "--port <n>",
      `port to listen on; the browser keeps conversations by it (default: ${defaultSettings.port}, or any free one)`,
      integer({ min: 0, max: MAX_PORT }),
    )
    .option("--no-open", "only print the address")
    .addHelpText("after", examples("idlm play", "idlm play model.gguf --no-open --port 9000"))
    .action(async (name: string | undefined, options: PlayOptions) => {
      await withInterrupt(cli.io, (signal) => play(cli, name ?? RACE_MODEL, options, signal));
    });
}

async function play(cli: Cli, name: string, options: PlayOptions, signal: AbortSignal): Promise<void> {
  const { adapter, port, ...load } = options;
  const specs = modelSpecs([name], adapter === undefined ? {} : { adapter: [adapter] });
  const start = (chosen: number) =>
    runServer(
      cli,
      {
        specs,
        preload: specs[0]?.name,
        settings: { ...defaultSettings, port: chosen, page: playgroundFile(), grammarThread: grammarThreadFile() },
        options: { ...load, concurrency: DEFAULT_CONCURRENCY, maxQueue: DEFAULT_MAX_QUEUE, logLevel: "warn" },
        onListening: (url) => {
          cli.io.stderr.write(`playground: ${url}/ (Ctrl-C ends it)\n`);
          if (load.open && !openBrowser(cli.io, `${url}/`)) cli.io.notices.write("Open it in a browser.\n");
        },
      },
      signal,
    );
  try {
    await start(port ?? defaultSettings.port);
  } catch (error) {
    if (port !== undefined || !(error instanceof IdlmError) || error.code !== "busy") throw error;
    cli.io.notices.write(`note: port ${defaultSettings.port} is in use; conversations are kept by port\n`);
    await start(0);
  }
}
