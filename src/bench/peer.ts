import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { IdlmError } from "../errors.ts";

/** llama.cpp in a process of its own, measured beside us in one run. */
export class Peer {
  readonly name: string;
  /** What llama.cpp says of its build. */
  readonly system: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    name: string,
    system: string,
    child: ChildProcessByStdio<Writable, Readable, null>,
    lines: AsyncIterator<string>,
  ) {
    this.name = name;
    this.system = system;
    this.#child = child;
    this.#lines = lines;
  }

  /** Starts a peer under a Python that has llama-cpp-python. @throws IdlmError "backend" where it does not answer. */
  static async start(python: string, modelPath: string, threads: number, name: string): Promise<Peer> {
    const child = spawn(python, [peerScript(), modelPath, String(threads)], { stdio: ["pipe", "pipe", "ignore"] });
    const failed = new Promise<never>((_, reject) => child.once("error", reject));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    try {
      const first = await Promise.race([lines.next(), failed]);
      const { system } = JSON.parse(String(first.value)) as { system: string };
      return new Peer(name, system, child, lines);
    } catch (error) {
      child.kill();
      throw new IdlmError(
        "backend",
        {
          backend: name,
          reason: `${python} does not run llama-cpp-python`,
          hint: "Name a Python where `import llama_cpp` works: --peer-python PATH",
        },
        error,
      );
    }
  }

  async ask(request: Readonly<Record<string, unknown>>): Promise<{ readonly ms: number; readonly path?: string }> {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new IdlmError("backend", { backend: this.name, reason: "the peer ended", hint: "" });
    return JSON.parse(value) as { ms: number };
  }

  stop(): void {
    this.#child.kill();
  }
}

function peerScript(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json")) && dirname(folder) !== folder) folder = dirname(folder);
  return join(folder, "bench", "peers", "llama_cpp_peer.py");
}
