import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { commonOptions } from "../src/cli/cli.ts";
import { collect } from "../src/cli/collect-io.ts";
import { errorCatalogue } from "../src/errors.ts";
import * as library from "../src/index.ts";

const root = join(import.meta.dirname, "..");
const page = (name: string) => readFileSync(join(root, name), "utf8");
/** Bodies of fenced blocks whose opening says `info`. */
const blocks = (text: string, info: string) =>
  [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].filter((match) => match[1] === info).map((match) => match[2] ?? "");

/** Runs an example, which has to be plain JavaScript but for where `idlm` comes from; gives what it printed. */
async function runExample(code: string): Promise<unknown[][]> {
  const body = code.replace(/^import \{(.*)\} from "idlm";$/gm, "const {$1} = idlm;");
  const printed: unknown[][] = [];
  const AsyncFunction = (async () => {}).constructor as new (
    ...source: string[]
  ) => (idlm: typeof library, console: { log: (...values: unknown[]) => void }) => Promise<void>;
  await new AsyncFunction("idlm", "console", body)(library, { log: (...values) => printed.push(values) });
  return printed;
}

describe("documentation", () => {
  const examples = blocks(page("docs/library.md"), "ts run");

  it("has an example to run", () => expect(examples).toHaveLength(1));

  it.each(examples.map((code, i) => ({ i, code })))("example $i of docs/library.md runs", async ({ code }) => {
    const printed = await runExample(code);
    expect(printed.at(-1)).toEqual([8, "length", 64]);
    expect(printed.slice(0, -1).reduce((sum, [n]) => sum + Number(n), 0)).toBe(8);
  });

  it("docs/errors.md lists the catalogue", () => {
    const rows = [...page("docs/errors.md").matchAll(/^\| `(.+?)` \| (\d+) \| (.+) \|$/gm)];
    expect(Object.fromEntries(rows.map(([, code, exit, message]) => [code, { exit: Number(exit), message }]))).toEqual(
      errorCatalogue,
    );
    expect(rows).toHaveLength(Object.keys(errorCatalogue).length);
  });

  it("docs/command-line.md has a section of every command with all of its options, and no others", async () => {
    const sections = page("docs/command-line.md").split(/^## /m);
    const help = (await collect(["--help"])).stdout;
    const commands = [...help.matchAll(/^ {2}(\w+) (?:\[|<)/gm)]
      .map((match) => match[1] ?? "")
      .filter((c) => c !== "help");
    expect(commands).toContain("run");
    for (const command of commands) {
      const section = sections.find((text) => text.startsWith(`\`idlm ${command}`)) ?? "";
      expect(section, command).not.toBe("");
      const { stdout } = await collect([command, "--help"]);
      const offered = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map((match) => match[1]);
      const described = [...section.matchAll(/^\| `(--[\w-]+)/gm)].map((match) => match[1]);
      expect(described.toSorted(), command).toEqual(
        offered.filter((name) => !commonOptions.includes(name ?? "")).toSorted(),
      );
    }
  });

  it("links in the documentation lead to files", () => {
    const pages = [
      "README.md",
      "CONTRIBUTING.md",
      "docs/getting-started.md",
      "docs/command-line.md",
      "docs/library.md",
    ];
    for (const name of [...pages, "docs/same-bits.md", "docs/formats.md", "docs/errors.md"]) {
      for (const [, target = ""] of page(name).matchAll(/\]\((?!https?:|#)([^)#]+)/g))
        expect(() => page(join(name, "..", target)), `${name}: ${target}`).not.toThrow();
    }
  });
});
