import { type ChildProcessByStdio, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { IdlmError } from "../errors.ts";
import { MAX_POSITIONS } from "./own-model.ts";
import { packageFolder } from "./prompts.ts";

interface Ready {
  readonly system: string;
  readonly loadMs: number;
}

/** llama.cpp in a separate process, measured in the same run. */
export class Peer {
  readonly name: string;
  /** llama.cpp's description of its build. */
  readonly system: string;
  /** From the file to a context that is ready to decode. */
  readonly loadMs: number;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    name: string,
    { system, loadMs }: Ready,
    child: ChildProcessByStdio<Writable, Readable, null>,
    lines: AsyncIterator<string>,
  ) {
    this.name = name;
    this.system = system;
    this.loadMs = loadMs;
    this.#child = child;
    this.#lines = lines;
  }

  /** Starts a peer with a Python that has llama-cpp-python. @throws IdlmError "backend" if it does not start. */
  static async start(python: string, modelPath: string, threads: number, name: string): Promise<Peer> {
    const child = spawn(python, [peerScript(), modelPath, String(threads), String(MAX_POSITIONS)], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    const failed = new Promise<never>((_, reject) => child.once("error", reject));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    try {
      const first = await Promise.race([lines.next(), failed]);
      return new Peer(name, JSON.parse(String(first.value)) as Ready, child, lines);
    } catch (error) {
      child.kill();
      throw new IdlmError(
        "backend",
        {
          backend: name,
          reason: `${python} cannot run llama-cpp-python`,
          hint: "Name a Python where `import llama_cpp` works.",
        },
        error,
      );
    }
  }

  async ask(request: Readonly<Record<string, unknown>>): Promise<{ readonly ms: number; readonly path?: string }> {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new IdlmError("backend", { backend: this.name, reason: "its process exited", hint: "" });
    return JSON.parse(value) as { ms: number };
  }

  /** Current resident memory of the peer's process; undefined if the system does not report it. */
  residentBytes(): number | undefined {
    try {
      const kilobytes = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${this.#child.pid}/status`, "utf8"))?.[1];
      return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
    } catch {
      return undefined;
    }
  }

  stop(): void {
    this.#child.kill();
  }
}

function peerScript(): string {
  return join(packageFolder(), "bench", "peers", "llama_cpp_peer.py");
}
