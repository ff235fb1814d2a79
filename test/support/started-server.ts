import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { collect } from "../../src/cli/terminal/collect-io.ts";
import { type CliProcess, startCli } from "./cli-process.ts";
import { root } from "./doc-examples.ts";

/** Where `npm run build` leaves the command line. */
export const builtCli = join(root, "dist", "cli", "main.js");

const LONG_CONTEXT = 4096;

/** A model that answers in milliseconds; what it writes has no meaning. */
export const tiny = { path: tinyWithLongContext(), name: "tiny64-Q8_0" };

/** Tools in a prompt take more than the 512 positions of the fixture, whose vocabulary is tiny, too. */
function tinyWithLongContext(): string {
  const bytes = readFileSync(join(root, "test", "fixtures", "gguf", "tiny64-Q8_0.gguf"));
  const key = "llama.context_length";
  // The key is followed by the type of the value, then by the value.
  bytes.writeUInt32LE(LONG_CONTEXT, bytes.indexOf(key) + key.length + 4);
  const folder = join(root, "node_modules", ".cache", "idlm-clients");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "tiny64-Q8_0.gguf");
  writeFileSync(path, bytes);
  return path;
}

/** What `idlm run` prints for a prompt, greedily and without proposals. */
export async function textOfRun(model: string, prompt: string, maxTokens: number): Promise<string> {
  const args = ["run", model, prompt, "--max-tokens", String(maxTokens), "--json", "--propose", "none"];
  const { status, stdout, stderr } = await collect(args);
  if (status !== 0) throw new Error(stderr);
  return (JSON.parse(stdout) as { text: string }).text;
}

export interface StartedServer extends CliProcess {
  readonly url: string;
  /** Lets running requests end; fails if the server does. */
  stop(): Promise<void>;
}

/** Starts the built `idlm serve` on a free port, and waits until it is ready. */
export async function startServer(
  args: readonly string[],
  { main = builtCli, env = {} }: { readonly main?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<StartedServer> {
  const server = startCli(main, ["serve", ...args, "--port", "0", "--json", "--log-level", "error"], {
    HOME: process.env.HOME,
    ...env,
  });
  const url = await new Promise<string>((resolve, reject) => {
    let stdout = "";
    server.child.stdout?.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
      if (stdout.includes("\n")) resolve((JSON.parse(stdout.split("\n")[0] ?? "") as { url: string }).url);
    });
    server.ended.then(
      ({ status, stderr }) => reject(new Error(`idlm serve ended with status ${status}:\n${stderr}`)),
      reject,
    );
  });
  while ((await fetch(`${url}/health`)).status !== 200) await new Promise((resolve) => setTimeout(resolve, 20));
  return {
    ...server,
    url,
    stop: async () => {
      server.child.kill("SIGTERM");
      const { status, stderr } = await server.ended;
      if (status !== 0) throw new Error(`idlm serve ended with status ${status}:\n${stderr}`);
    },
  };
}
