import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { type Collect, collect } from "./terminal/collect-io.ts";

const model = fileURLToPath(new URL("../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idlm-text-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function json(argv: readonly string[], settings: Collect = {}) {
  const result = await collect([...argv, "--json"], settings);
  // A terminal may be shown how far loading is; it is taken away at the end.
  const wiped = result.stderr === "" || result.stderr.endsWith("\r\x1b[2K");
  expect({ status: result.status, wiped, onTerminal: result.stderr !== "" && settings.tty !== true }).toEqual({
    status: 0,
    wiped: true,
    onTerminal: false,
  });
  return JSON.parse(result.stdout);
}

const run = ["run", model, "Hello there", "--max-tokens", "24"];

describe("idlm run", () => {
  it("prints only the JSON that scripts rely on, also on a terminal", async () => {
    const result = await json(run, { tty: true });
    expect(Object.keys(result).slice(0, 12)).toEqual([
      ...[
        "text",
        "tokens",
        "sha256",
        "finishReason",
        "forwards",
        "tokensPerForward",
        "acceptanceByDepth",
        "prefillMs",
        "decodeMs",
      ],
      ...["instructionSet", "threads", "numerics"],
    ]);
    expect(result.sha256).toBe(createHash("sha256").update(result.text).digest("hex"));
    expect(result.tokens.length).toBeLessThanOrEqual(24);
    expect(result.finishReason).toBe(result.tokens.length === 24 ? "length" : "stop");
    expect(result.promptTokens).toBeGreaterThan(2);
  });

  it("streams the same text without --json, and prints statistics only on a terminal", async () => {
    const { text } = await json(run);
    const plain = await collect(run);
    expect(plain).toMatchObject({ status: 0, stderr: "" });
    expect(plain.stdout).toBe(text.endsWith("\n") ? text : `${text}\n`);
    const terminal = await collect(run, { tty: true });
    expect(terminal.stdout).toBe(plain.stdout);
    expect(terminal.stderr).toContain("tokens each");
    expect((await collect([...run, "--verbose"])).stderr).toContain("tokens each");
  });

  it("generates the same bytes with and without proposals, on both backends and at temperature 0.9", async () => {
    const sampled = [...run, "--temperature", "0.9", "--seed", "7"];
    for (const argv of [run, sampled]) {
      const plain = await json([...argv, "--propose", "none"]);
      expect(plain.acceptanceByDepth).toEqual([]);
      for (const stride of ["2", "5"]) {
        const proposing = await json([...argv, "--propose", "lookup", "--stride", stride]);
        expect(proposing.tokens).toEqual(plain.tokens);
        expect(proposing.sha256).toBe(plain.sha256);
      }
    }
    expect((await json(sampled)).sha256).not.toBe((await json([...sampled, "--seed", "8"])).sha256);
  });

  it("reads the prompt from standard input, with a split character and without the last line break", async () => {
    const direct = await json(["run", model, "naïve", "--max-tokens", "5"]);
    const bytes = Buffer.from("naïve\n");
    const piped = await json(["run", model, "-", "--max-tokens", "5"], {
      stdin: [bytes.subarray(0, 3), bytes.subarray(3)],
    });
    expect(piped.promptTokens).toBe(direct.promptTokens);
    expect(piped.tokens).toEqual(direct.tokens);
  });

  it("renders a prompt with the chat template, except with --raw", async () => {
    const messages = join(folder, "messages.json");
    writeFileSync(messages, JSON.stringify([{ role: "user", content: "Hello there" }]));
    const direct = await json(run);
    expect((await json(["run", model, "--messages", messages, "--max-tokens", "24"])).tokens).toEqual(direct.tokens);
    expect((await json([...run, "--raw"])).promptTokens).toBeLessThan(direct.promptTokens);
  });

  it("stops before a stop string", async () => {
    const { text } = await json(run);
    const stop = [...text].slice(6, 9).join("");
    const stopped = await json([...run, "--stop", "never to be seen", "--stop", stop]);
    expect(stopped.finishReason).toBe("stop");
    expect(stopped.text).toBe(text.slice(0, text.indexOf(stop)));
  });

  it("reports log-probabilities on request", async () => {
    expect(await json(run)).not.toHaveProperty("logprobs");
    const { tokens, logprobs } = await json([...run, "--logprobs", "3"]);
    expect(logprobs.content.length).toBe(tokens.length);
    for (const { token, logprob, bytes, top_logprobs: top } of logprobs.content) {
      expect(typeof token).toBe("string");
      expect(bytes === null || Array.isArray(bytes)).toBe(true);
      expect(top.length).toBe(3);
      expect(logprob).toBeLessThanOrEqual(top[0].logprob);
    }
  });

  it("generates several completions, the first of which equals a single one", async () => {
    const sampled = [...run, "--temperature", "1", "--seed", "3"];
    const one = await json(sampled);
    const { choices, text } = await json([...sampled, "--n", "3", "--logprobs", "0"]);
    expect(text).toBe(one.text);
    expect(choices.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2]);
    expect(choices[0].text).toBe(text);
    expect(new Set(choices.map((choice: { text: string }) => choice.text)).size).toBeGreaterThan(1);
    expect(choices[2].logprobs.content.length).toBe(choices[2].tokens.length);
  });

  it("says how proposals were verified, and that relaxed text is not lossless", async () => {
    const ways = [
      [["--shape", "tree"], { verify: "exact", shape: "tree", lossless: true }],
      [["--verify", "rejection"], { verify: "rejection", shape: "chain", lossless: true }],
      [["--verify", "relaxed", "--tau", "0.3"], { verify: "relaxed", tau: 0.3, lossless: false }],
      [["--propose", "none"], { shape: "plain", verify: "exact", lossless: true }],
    ] as const;
    for (const [options, expected] of ways) expect(await json([...run, ...options])).toMatchObject(expected);
  });

  it("applies a logit bias", async () => {
    const bias = join(folder, "bias.json");
    writeFileSync(bias, '{"65": 1000}');
    expect((await json([...run, "--max-tokens", "3", "--logit-bias", bias])).tokens).toEqual([65, 65, 65]);
  });

  it("stops at the first Ctrl-C, prints the output so far and exits with 130", async () => {
    const long = ["run", model, "Hello", "--max-tokens", "400"];
    const whole = await collect(long);
    let pressed = false;
    const onStdout = (text: string, interrupt: () => void) => {
      if (text.length > 10 && !pressed) interrupt();
      if (text.length > 10) pressed = true;
    };
    const { status, stdout, stderr, killed } = await collect(long, { onStdout });
    expect({ status, stderr, killed }).toEqual({ status: 130, stderr: "", killed: false });
    expect(stdout.length).toBeGreaterThan(10);
    expect(stdout.length).toBeLessThan(whole.stdout.length);
    expect(whole.stdout.startsWith(stdout.trimEnd())).toBe(true);
  });

  it("is killed by the second Ctrl-C", async () => {
    const onStdout = (text: string, interrupt: () => void) => {
      if (text.length > 10) interrupt();
      if (text.length > 10) interrupt();
    };
    expect((await collect(["run", model, "Hello", "--max-tokens", "400"], { onStdout })).killed).toBe(true);
  });

  it("rejects a prompt that does not fit into the context", async () => {
    const result = await collect(["run", model, "word ".repeat(400), "--context", "64"]);
    expect(result).toMatchObject({ status: 5, stdout: "" });
    expect(result.stderr).toContain("do not fit into the context of 64");
  });

  it("rejects MASK proposals without an adapter", async () => {
    expect(await collect([...run, "--propose", "mask"])).toMatchObject({ status: 2, stdout: "" });
  });
});

describe("idlm race", () => {
  const race = ["race", model, "--max-tokens", "20", "--rounds", "2"];

  it("streams both outputs once, then prints a table", async () => {
    const { status, stdout, stderr } = await collect(race);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const { text } = await json(race);
    expect(stdout.split(text).length).toBe(3);
    expect(stdout).toMatch(/^same bytes +yes$/m);
    expect(stdout).not.toContain("\x1b[");
  });

  it("prints only JSON with --json", async () => {
    const result = await json(race, { tty: true });
    expect(result).toMatchObject({ model, rounds: 2, sameBytes: true });
    expect(result.plain.sha256).toBe(result.proposing.sha256);
    expect(result.plain.tokensPerSecondByRound.length).toBe(2);
    expect(result.plain.tokensPerForward).toBe(1);
  });

  it("shows a live line on a terminal, and clears it", async () => {
    const { stderr } = await collect(race, { tty: true });
    expect(stderr).toContain("proposing 2/2");
    expect(stderr.endsWith("\r\x1b[2K")).toBe(true);
  });

  it("exits with 130 at Ctrl-C", async () => {
    const onStdout = (text: string, interrupt: () => void) => {
      if (text.endsWith("plain\n")) interrupt();
    };
    const result = await collect(["race", model, "--max-tokens", "400"], { onStdout });
    expect(result).toMatchObject({ status: 130, killed: false });
    expect(result.stdout).not.toContain("same bytes");
  });
});

describe("idlm chat", () => {
  const chat = ["chat", model, "--max-tokens", "12"];
  const answers = (stdout: string) =>
    stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));

  it("keeps turns in the KV cache, and starts over at /reset", async () => {
    const { status, stdout, stderr } = await collect([...chat, "--json"], {
      stdin: "hi\n\nand you?\n/reset\nhi\n/exit\nunread\n",
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const [first, second, third, ...more] = answers(stdout);
    expect(more).toEqual([]);
    expect(first.cachedTokens).toBe(0);
    expect(second.cachedTokens).toBeGreaterThan(first.promptTokens - 1);
    expect(second.promptTokens).toBeGreaterThan(second.cachedTokens);
    expect(third.sha256).toBe(first.sha256);
    expect(third.promptTokens).toBe(first.promptTokens);
  });

  it("gives the same answers with and without cached turns", async () => {
    const { stdout } = await collect([...chat, "--json"], { stdin: "hi\nand you?\n" });
    const [first, second] = answers(stdout);
    const messages = join(folder, "turns.json");
    const turns = [
      ["user", "hi"],
      ["assistant", first.text],
      ["user", "and you?"],
    ];
    writeFileSync(messages, JSON.stringify(turns.map(([role, content]) => ({ role, content }))));
    const fresh = await json(["run", model, "--messages", messages, "--max-tokens", "12"]);
    expect(second.tokens).toEqual(fresh.tokens);
  });

  it("says when the oldest turns are dropped", async () => {
    const { status, stdout, stderr } = await collect([...chat, "--json", "--context", "120"], {
      stdin: "tell me more\n".repeat(8),
    });
    expect(status).toBe(0);
    expect(stderr).toContain("The context of 120 tokens is full: the oldest");
    expect(answers(stdout).length).toBe(8);
  });

  it("continues after a turn that is too long, with its exit status", async () => {
    const { status, stdout, stderr } = await collect([...chat, "--json", "--context", "120"], {
      stdin: `${"far too long ".repeat(100)}\nhi\n`,
    });
    expect(status).toBe(5);
    expect(stderr).toContain("do not fit into the context of 120");
    expect(answers(stdout).length).toBe(1);
  });

  it("stops an answer at Ctrl-C and continues", async () => {
    let pressed = false;
    const onStdout = (text: string, interrupt: () => void) => {
      if (text.length > 5 && !pressed) {
        pressed = true;
        interrupt();
      }
    };
    const result = await collect(["chat", model, "--max-tokens", "300"], { stdin: "hi\nhello\n", onStdout });
    expect(result).toMatchObject({ status: 0, killed: false });
    expect(result.stdout.length).toBeGreaterThan(300);
  });

  it("knows its commands", async () => {
    const { stdout, stderr } = await collect(chat, { stdin: "/help\n/nonsense\n" });
    expect(stdout).toBe("");
    expect(stderr).toContain("/reset  start");
    expect(stderr).toContain("Unknown command /nonsense");
  });

  it("rejects a turn with invalid UTF-8", async () => {
    expect(await collect(chat, { stdin: Uint8Array.of(0xc3, 0x0a) })).toMatchObject({ status: 2, stdout: "" });
  });
});
