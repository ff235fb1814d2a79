import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CliIo, nowhere } from "./io.ts";
import { lineReader } from "./line-reader.ts";

/** An io with only stdin, and a simulated Ctrl-C. */
function pipe(chunks: readonly Uint8Array[]): { io: CliIo; interrupt: () => void } {
  const listeners = new Set<() => void>();
  const io: CliIo = {
    stdin: Readable.from(chunks.map((chunk) => Buffer.from(chunk))),
    stdout: nowhere,
    stderr: nowhere,
    notices: nowhere,
    isVerbose: false,
    env: {},
    lowerPriority() {},
    onInterrupt(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    kill() {},
  };
  const interrupt = () => {
    for (const listener of listeners) listener();
  };
  return { io, interrupt };
}

async function linesOf(chunks: readonly Uint8Array[]): Promise<string[]> {
  const reader = lineReader(pipe(chunks).io);
  const lines: string[] = [];
  for (let line = await reader.next(""); line !== undefined; line = await reader.next("")) lines.push(line);
  return lines;
}

describe("lines of a pipe", () => {
  it("are complete, however the bytes arrive", async () => {
    const line = fc.string({ unit: "binary" }).filter((text) => !/[\r\n]/.test(text));
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.array(fc.nat(40), { minLength: 1 }), async (lines, sizes) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(""));
        const chunks: Uint8Array[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = 1 + (sizes[i % sizes.length] ?? 0);
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(await linesOf(chunks)).toEqual(lines);
      }),
    );
  });

  it("may end without a line break, or with CRLF", async () => {
    expect(await linesOf([Buffer.from("a\r\nb")])).toEqual(["a", "b"]);
  });

  it("must be UTF-8", async () => {
    await expect(linesOf([Buffer.from("fine\n"), Uint8Array.of(0xff, 0x0a)])).rejects.toThrow("not valid UTF-8");
  });

  it("end at Ctrl-C while waiting", async () => {
    const { io, interrupt } = pipe([]);
    const never = new Readable({ read() {} });
    const reader = lineReader({ ...io, stdin: never });
    const line = reader.next("");
    interrupt();
    expect(await line).toBeUndefined();
    never.destroy();
  });
});
