import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commonOptions } from "../src/cli/cli.ts";
import { optionFlag } from "../src/cli/options/flag-names.ts";
import { collect } from "../src/cli/terminal/collect-io.ts";
import { samplingSettingNames } from "../src/compute/sampling/settings.ts";
import {
  fencesOf,
  makeStandIns,
  matchesShown,
  parseExample,
  root,
  runLibraryExample,
  runShellExample,
} from "./support/doc-examples.ts";
import { FakeHub } from "./support/fake-hub.ts";
import { tinyModel } from "./support/model-folder.ts";

const page = (name: string) => readFileSync(join(root, name), "utf8");
const guides = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
/** docs/results.md quotes measurements; its commands are those of their time. */
const pages = ["README.md", ...guides.filter((name) => name !== "results.md").map((name) => `docs/${name}`)];
const fences = pages.flatMap((name) => fencesOf(name).map((fence) => ({ page: name, ...fence })));
const withInfo = (info: string) => fences.filter((fence) => fence.info === info);

/**
 * Valid info strings. sh run, console run (with output), ts run: run here, with stand-ins for files. console model: run
 * by docs.model.test.ts. sh setup: npm commands. mermaid: see architecture.test.ts. sh serve and those of clients: run by
 * clients/docs.client.test.ts.
 */
const clientInfos = ["sh serve", "sh client", "js client", "python client"];
const infos = ["sh run", "console run", "ts run", "console model", "sh setup", "mermaid", "text", ...clientInfos];

const folder = mkdtempSync(join(tmpdir(), "idlm-docs-"));
const standIns = makeStandIns(folder);
const example = (line: string) => {
  const parsed = parseExample(line, standIns);
  // Output files go to the folder of the stand-ins.
  const argv = parsed.argv.map((word, i) => (parsed.argv[i - 1] === "--out" ? join(folder, word) : word));
  return { ...parsed, argv };
};
let hub: FakeHub;
beforeAll(async () => {
  hub = await FakeHub.start();
  hub.add("tiny-Q4_K_M.gguf", readFileSync(tinyModel));
  Object.assign(process.env, hub.environment, { IDLM_HOME: join(folder, "cache") });
});
afterAll(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true });
});

const commandsOf = (body: string) => body.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));

describe("documentation", () => {
  it("has only examples that are run by a test", () => {
    for (const { page: name, info, body } of fences) expect(infos, `${name}: ${body}`).toContain(info);
    expect(withInfo("sh run").length).toBeGreaterThan(10);
    expect(withInfo("console run").length).toBeGreaterThan(2);
  });

  it.each(withInfo("sh run").flatMap((fence) => commandsOf(fence.body).map((line) => ({ page: fence.page, line }))))(
    "$page: $line",
    async ({ line }) => {
      const { status, stderr } = await runShellExample(example(line));
      expect({ status, stderr }).toMatchObject({ status: 0 });
    },
  );

  it.each(withInfo("console run"))("$page prints what it shows: $body", async ({ body }) => {
    for (const part of body.split(/^\$ /m).slice(1)) {
      const [line = "", ...shown] = part.trimEnd().split("\n");
      const { status, stdout, stderr } = await runShellExample(example(line));
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(matchesShown(stdout, shown.join("\n")), `${line}\n${stdout}`).toBe(true);
    }
  });

  it.each(withInfo("ts run"))("$page runs: $body", async ({ body }) => {
    await runLibraryExample(body);
  });

  it("the example of docs/library.md logs the figures shown", async () => {
    const [first] = withInfo("ts run").filter(({ body }) => body.includes("console.log(result.tokens.length"));
    const logged = await runLibraryExample(first?.body ?? "");
    expect(logged.at(-1)).toEqual([8, "length", 64]);
    expect(logged.slice(0, -1).reduce((sum, [n]) => sum + Number(n), 0)).toBe(8);
  });

  it("names only existing npm commands", () => {
    const { scripts } = JSON.parse(page("package.json"));
    for (const { page: name, body } of withInfo("sh setup")) {
      for (const [, script = ""] of body.matchAll(/npm run (?:--silent )?([\w:-]+)/g))
        expect(Object.keys(scripts), `${name}: npm run ${script}`).toContain(script);
      for (const [, own = ""] of body.matchAll(/npm (start|test)\b/g)) expect(Object.keys(scripts)).toContain(own);
      for (const [, script = ""] of body.matchAll(/node (scripts\/[\w.-]+)/g)) expect(() => page(script)).not.toThrow();
    }
  });

  it("docs/same-bits.md: the three ways to check give one SHA-256", async () => {
    const block = withInfo("sh run").find(
      ({ page: name, body }) => name === "docs/same-bits.md" && body.includes("IDLM_ISA"),
    );
    const lines = commandsOf(block?.body ?? "");
    expect(lines.length).toBe(3);
    const found = new Set<string>();
    for (const line of lines) found.add(JSON.parse((await runShellExample(example(line))).stdout).sha256);
    expect(found.size).toBe(1);
  });

  it("docs/command-line.md has a section for every command with exactly its options", async () => {
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
      if (section.includes("It also has the [sampling options](#sampling-options)")) {
        described.push(...samplingSettingNames.map(optionFlag));
      }
      expect(described.toSorted(), command).toEqual(
        offered.filter((name) => !commonOptions.includes(name ?? "")).toSorted(),
      );
    }
  });

  it("examples of --help use existing options", async () => {
    const optionsOf = (text: string) => [...text.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map((match) => match[1]);
    const { stdout } = await collect(["--help"]);
    const commands = [...stdout.matchAll(/^ {2}(\w+) (?:\[|<)/gm)].map((match) => match[1] ?? "");
    let nExamples = 0;
    for (const command of commands.filter((name) => name !== "help")) {
      const help = (await collect([command, "--help"])).stdout;
      for (const [, line = ""] of help.matchAll(/^ {2}\$ (.*)$/gm)) {
        nExamples++;
        expect(line).toContain(`idlm ${command}`);
        for (const [option] of line.matchAll(/--[\w-]+/g)) expect(optionsOf(help), line).toContain(option);
      }
    }
    expect(nExamples).toBeGreaterThan(20);
  });

  it("links in the documentation lead to files, and README.md leads to every guide", () => {
    for (const name of [...pages, "docs/results.md", "CONTRIBUTING.md"]) {
      // Patterns in backticks may look like links.
      const text = page(name).replace(/`[^`\n]*`/g, "");
      for (const [, target = ""] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
        expect(() => page(join(name, "..", target)), `${name}: ${target}`).not.toThrow();
    }
    for (const guide of guides) expect(page("README.md")).toContain(`(docs/${guide})`);
  });

  it("links to headings lead to headings", () => {
    // As GitHub makes them: lower case, spaces as hyphens, no other punctuation.
    const anchorsOf = (name: string) =>
      [
        ...page(name)
          .replace(/^```.*?^```/gms, "")
          .matchAll(/^#+ (.*)$/gm),
      ].map(([, heading = ""]) =>
        heading
          .toLowerCase()
          .replace(/[^\p{L}\p{N}_ -]/gu, "")
          .replaceAll(" ", "-"),
      );
    let nLinks = 0;
    for (const name of [...pages, "docs/results.md", "CONTRIBUTING.md"]) {
      const text = page(name).replace(/`[^`\n]*`/g, "code");
      for (const [, file = "", anchor = ""] of text.matchAll(/\]\((?!https?:)([^)#]*)#([^)]+)\)/g)) {
        nLinks++;
        expect(anchorsOf(file === "" ? name : join(name, "..", file)), `${name}: ${file}#${anchor}`).toContain(anchor);
      }
    }
    expect(nLinks).toBeGreaterThan(20);
  });
});
