import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import type { CliIo } from "./io.ts";
import { Progress } from "./progress.ts";
import { LiveLine, printable, table } from "./style.ts";

/** Streams that collect stderr. */
function screen(isTTY: boolean, env: Record<string, string> = {}): { io: CliIo; text: () => string } {
  let text = "";
  const output = {
    isTTY,
    columns: 40,
    write: (part: string) => {
      text += part;
      return true;
    },
    once: () => {},
    removeListener: () => {},
  };
  return {
    io: {
      stdin: Readable.from([]),
      stdout: output,
      stderr: output,
      notices: output,
      isVerbose: false,
      env,
      lowerPriority() {},
      onInterrupt: () => () => {},
      kill() {},
    },
    text: () => text,
  };
}

describe("Progress", () => {
  it("is a bar on a terminal, in one line that is cleared", () => {
    const { io, text } = screen(true);
    const progress = new Progress(io);
    progress.update("downloading x", 25e6, 100e6);
    progress.update("downloading x", 100e6, 100e6);
    progress.end();
    expect(text()).toContain("downloading x [#######.....");
    expect(text()).not.toContain("\n");
    expect(text().endsWith("\r\x1b[2K")).toBe(true);
    for (const line of text().split("\r\x1b[2K")) expect(line.length).toBeLessThan(40);
  });

  it("is a few plain lines without a terminal", () => {
    const { io, text } = screen(false);
    const progress = new Progress(io);
    for (let done = 0; done <= 100e6; done += 1e6) progress.update("downloading x", done, 100e6);
    progress.end();
    const quarters = [25, 50, 75, 100].map((share) => `downloading x: ${share} %\n`);
    expect(text()).toBe(`downloading x, 100.0 MB\n${quarters.join("")}`);
  });
});

describe("LiveLine", () => {
  it("is silent without a terminal and with TERM=dumb", () => {
    for (const { io, text } of [screen(false), screen(true, { TERM: "dumb" })]) {
      const line = new LiveLine(io);
      line.show("hello");
      line.clear();
      expect(text()).toBe("");
    }
  });

  it("never wraps, and removes control characters", () => {
    const { io, text } = screen(true);
    new LiveLine(io).show(`a\nb\x1b[31m${"c".repeat(100)}`);
    const shown = text().replace("\r\x1b[2K", "");
    expect(shown).toBe(`a b [31m${"c".repeat(30)}…`);
    expect(printable("a\r\n\u2028b")).toBe("a b");
  });
});

describe("table", () => {
  it("aligns its columns, without trailing blanks", () => {
    expect(
      table([
        ["", "a", "bb"],
        ["long", "1", ""],
      ]),
    ).toBe("      a  bb\nlong  1\n");
  });
});
