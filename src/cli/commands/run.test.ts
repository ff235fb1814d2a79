import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { type Collect, collect } from "../terminal/collect-io.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/", import.meta.url));
const model = join(fixtures, "gguf", "tiny64-F16.gguf");
const folder = mkdtempSync(join(tmpdir(), "idlm-run-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function refused(
  argv: readonly string[],
  status: number,
  message: string,
  settings: Collect = {},
): Promise<void> {
  const result = await collect(argv, settings);
  expect(result.stderr).toContain(message);
  expect(result.stderr).not.toMatch(/^\s+at /m);
  expect(result).toMatchObject({ status, stdout: "" });
}

describe("the command line rejects", () => {
  it.each([
    [["run"], "missing required argument 'model'"],
    [["run", model], "no prompt was given"],
    [["run", model, "a", "b"], "too many arguments"],
    [["rum", model], "(Did you mean run?)"],
    [["run", model, "a", "--strid", "3"], "(Did you mean --stride?)"],
    [["run", model, "a", "--stride", "0"], "Expected a whole number from 1 up to 8."],
    [["run", model, "a", "--stride", "9"], "Expected a whole number from 1 up to 8."],
    [["run", model, "a", "--stride", "2.0"], "Expected a whole number"],
    [["run", model, "a", "--max-tokens", "1x"], "Expected a whole number"],
    [["run", model, "a", "--max-tokens", ""], "Expected a whole number"],
    [["run", model, "a", "--max-tokens", "-1"], "Expected a whole number from 1."],
    [["run", model, "a", "--max-tokens"], "argument missing"],
    [["run", model, "a", "--seed", "9007199254740992"], "Expected a whole number from 0 up to 9007199254740991."],
    [["run", model, "a", "--seed", "-1"], "Expected a whole number from 0"],
    [["run", model, "a", "--temperature", "1e999"], "Expected a number from 0 up to 1000."],
    [["run", model, "a", "--temperature", "NaN"], "Expected a number"],
    [["run", model, "a", "--temperature", "-0.1"], "Expected a number from 0 up to 1000."],
    [["run", model, "a", "--top-p", "0"], "Expected a number above 0 up to 1."],
    [["run", model, "a", "--min-p", "1.5"], "Expected a number from 0 up to 1."],
    [["run", model, "a", "--repetition-penalty", "0"], "Expected a number above 0 up to 1000."],
    [["run", model, "a", "--threads", "0"], "Expected a whole number from 1"],
    [["run", model, "a", "--propose", "magic"], "none, grammar, predicted, mask, medusa, draft, lookup, auto"],
    [["run", model, "a", "--verify", "never"], "exact, rejection, relaxed"],
    [["run", model, "a", "--shape", "round"], "chain, quadratic, tree, auto"],
    [["run", model, "a", "--tau", "0"], "Expected a number above 0 up to 1."],
    [["run", model, "a", "--n", "0"], "Expected a whole number from 1 up to 128."],
    [["run", model, "a", "--backend", "gpu"], "native, reference"],
    [["run", model, "a", "--stop", ""], "Expected a string that is not empty."],
    [["run", model, "a", "--messages", "m.json"], "a prompt and --messages were both given"],
    [["run", model, "a", "--propose", "predicted"], "Give --predict FILE, or choose another source of proposals."],
    [
      ["run", model, "a", "--propose", "draft"],
      "Load the model with --draft-model MODEL, or choose another source of proposals.",
    ],
    [
      ["run", model, "a", "--propose", "mask"],
      "Load the model with --adapter DIR, or choose another source of proposals.",
    ],
    [["chat", model, "--propose", "predicted"], "--propose predicted needs a predicted text"],
    [["run", model, "", "--raw"], "--raw: expected a string that is not empty"],
    [["run", model, "a", "--temperature", "1e-9"], "--temperature: expected 0 or a number from"],
    [["run", model, "--raw", "--messages", "m.json"], "--raw and --messages were both given"],
    [["pull", "no-such-model"], "no-such-model is not in the catalogue"],
    [["race", "a", "b"], "too many arguments"],
    [["race", "--rounds", "0"], "Expected a whole number from 1 up to 100."],
  ])("%j with status 2", (argv, message) => refused(argv, 2, message));

  it.each([
    ["not JSON", "{", "content: expected JSON"],
    ["invalid UTF-8", Uint8Array.of(0x5b, 0xff, 0x5d), "invalid UTF-8"],
    ["an object", "{}", "expected an array of messages, found an object"],
    ["no messages", "[]", "expected 1 to 10000 messages, found 0"],
    ["text instead of a message", '["hi"]', "[0]: expected an object with role and content"],
    [
      "an unknown role",
      '[{"role": "robot", "content": "hi"}]',
      '[0].role: expected one of system, user, assistant, tool, found "robot"',
    ],
    ["no role", '[{"content": "hi"}]', "[0].role: expected one of system, user, assistant, tool, found nothing"],
    ["no text", '[{"role": "user", "content": ["hi"]}]', "[0].content: expected a string, found an array"],
    ["another key", '[{"role": "user", "content": "hi", "nmae": "x"}]', 'found "nmae"'],
    ["deep nesting", "[".repeat(100_000), "nested at most"],
  ])("messages: %s", (name, content, message) =>
    refused(["run", model, "--messages", file(`${name}.json`, content)], 3, message),
  );

  it("messages: no such file", () =>
    refused(["run", model, "--messages", join(folder, "none.json")], 3, "none.json: no such file"));
  it("messages: a folder", () => refused(["run", model, "--messages", folder], 3, "not a regular file"));
  it("messages: more than 16 MiB", () =>
    refused(["run", model, "--messages", file("large.json", " ".repeat(2 ** 24 + 1))], 3, "size: expected at most"));

  it.each([
    ["not an object", "[]", "expected a JSON object, found an array"],
    ["a word instead of an id", '{"the": 1}', 'key "the": expected a token id'],
    ["a string instead of a number", '{"5": "1"}', '"5": expected a finite number, found "1"'],
    ["infinity", '{"5": 1e999}', '"5": expected a finite number, found Infinity'],
    ["an id beyond the vocabulary", '{"320": 1}', "320"],
  ])("logit bias: %s", (name, content, message) =>
    refused(
      ["run", model, "a", "--logit-bias", file(`bias ${name}.json`, content)],
      name.includes("beyond") ? 2 : 3,
      message,
    ),
  );

  it("standard input with invalid UTF-8", () =>
    refused(["run", model, "-"], 2, "not valid UTF-8", { stdin: Uint8Array.of(0x68, 0xc3) }));
  it("endless standard input", () =>
    refused(["run", model, "-"], 2, "more than 16777216 bytes", { stdin: Array(17).fill(Buffer.alloc(2 ** 20, "a")) }));
  it("a missing model", () => refused(["run", join(folder, "none.gguf"), "a"], 3, "none.gguf: no such file"));
  it("a file that is not a model", () =>
    refused(["run", file("text.gguf", "hello there, this is text"), "a"], 3, "text.gguf"));
});

describe("help and version", () => {
  const commands = ["race", "run", "chat", "forward", "bench", "doctor", "pull"];

  it("name every command and every exit status", async () => {
    const { status, stdout, stderr } = await collect(["--help"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^ +${command} `, "m"));
    for (const code of [0, 1, 2, 3, 4, 5, 6, 7, 130]) expect(stdout).toMatch(new RegExp(`^ +${code}  \\w`, "m"));
  });

  it.each(commands)("of %s has examples and --json", async (command) => {
    for (const argv of [
      [command, "--help"],
      ["help", command],
      [command, "-h"],
    ]) {
      const { status, stdout, stderr } = await collect(argv);
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(stdout).toContain(`$ idlm ${command}`);
      expect(stdout).toContain("--json");
      expect(stdout).not.toContain("\x1b[");
    }
  });

  it.each([
    ["run", "In exact mode, the default, the same command gives the same bytes"],
    ["run", "with MASK rows at most one more than the adapter has depths"],
    ["batch", "The model of a request is ignored"],
    ["batch", "- reads them from standard input"],
  ])("of %s says: %s", async (command, text) => {
    expect((await collect([command, "--help"])).stdout.replace(/\s+/g, " ")).toContain(text);
  });

  it("without a command goes to stderr with status 2", async () => {
    const { status, stdout, stderr } = await collect([]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain("Usage: idlm");
  });

  it("--version prints the package's", async () => {
    expect(await collect(["--version"])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string,
    });
  });
});

describe("errors", () => {
  it.each([
    [["run"], "See idlm run --help."],
    [["run", model, "a", "--stride", "0"], "See idlm run --help."],
    [["bench", "decode", "--pairs", "0"], "See idlm bench decode --help."],
    [["rum"], "See idlm --help."],
    [["--nonsense"], "See idlm --help."],
  ])("of %j name the command to get help for", async (argv, hint) => {
    expect((await collect(argv)).stderr.trimEnd().split("\n").at(-1)).toBe(hint);
  });

  it("are coloured on a terminal only, and not with NO_COLOR", async () => {
    const argv = ["run", model];
    expect((await collect(argv, { tty: true })).stderr).toContain("\x1b[31merror:");
    expect((await collect(argv, { tty: true, env: { NO_COLOR: "1" } })).stderr).not.toContain("\x1b[");
    expect((await collect(argv)).stderr).not.toContain("\x1b[");
  });

  it("show their stack with --debug", async () => {
    expect((await collect(["run", model, "--debug"])).stderr).toMatch(/^\s+at /m);
  });
});

describe("--quiet and --verbose", () => {
  const run = ["run", model, "Hello", "--max-tokens", "4"];

  it("suppress statistics, warnings and progress, or print them into files too", async () => {
    const terminal = await collect([...run, "--quiet"], { tty: true });
    expect(terminal).toMatchObject({ status: 0, stderr: "" });
    const verbose = (await collect([...run, "-v"])).stderr;
    expect(verbose).toMatch(/^loaded .*tiny64-F16\.gguf in \d+ ms: llama of 2 layers, .* backend/);
    expect(verbose).toContain("tokens each");
    expect((await collect(["--verbose", ...run])).stderr).toContain("tokens each");
  });

  it("do not change errors and results", async () => {
    const { stdout } = await collect(run);
    for (const how of ["--quiet", "--verbose"]) expect((await collect([...run, how])).stdout).toBe(stdout);
    const wrong = await collect(["run", "no-such.gguf", "Hello", "-q"]);
    expect(wrong).toMatchObject({ status: 3, stdout: "" });
    expect(wrong.stderr).toContain("no such file");
  });

  it("exclude each other", () =>
    refused([...run, "--quiet", "--verbose"], 2, "'-q, --quiet' cannot be used with option '-v, --verbose'"));
});
