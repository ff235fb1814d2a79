import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, describe, expect, it } from "vitest";
import { fakeEngine } from "../../test/support/fake-engine.ts";
import { fakeTokenizer } from "../../test/support/fake-tokenizer.ts";
import { runBatch } from "./batch.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-batch-"));
afterAll(() => rmSync(folder, { recursive: true }));
let nFiles = 0;

const chatLine = (id: string, body: object = {}) =>
  JSON.stringify({
    ...{ custom_id: id, method: "POST", url: "/v1/chat/completions" },
    body: { messages: [{ role: "user", content: `ab${id}` }], max_tokens: 6, temperature: 0, ...body },
  });

function batchOf(lines: readonly string[]) {
  const input = join(folder, `in-${nFiles}.jsonl`);
  const output = join(folder, `out-${nFiles++}.jsonl`);
  writeFileSync(input, lines.join("\n"));
  const { engine, model } = fakeEngine();
  const answers = () =>
    readFileSync(output, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  const run = (signal = new AbortController().signal) =>
    runBatch(engine, { input, output, modelName: "m", concurrency: 3, signal, onProgress: () => {} });
  return { engine, model, input, output, run, answers };
}

describe("runBatch", () => {
  it("answers as the API does", async () => {
    const completion = {
      ...{ custom_id: "two", method: "POST", url: "/v1/completions" },
      body: { prompt: ["ab", "b a"], n: 2, max_tokens: 4, logprobs: 1 },
    };
    const { engine, run, answers } = batchOf([
      chatLine("a", { logprobs: true, top_logprobs: 2, n: 2 }),
      "",
      JSON.stringify(completion),
    ]);
    expect(await run()).toMatchObject({ answered: 2, failed: 0, kept: 0, tokens: 12 + 16 });
    const byId = Object.fromEntries(answers().map((answer) => [answer.custom_id, answer]));
    const { response, error, id } = byId.a;
    expect(error).toBeNull();
    expect(id).toMatch(/^batch_req_/);
    expect(response).toMatchObject({ status_code: 200, body: { object: "chat.completion", model: "m" } });
    const { choices, usage, idlm } = response.body;
    const ids = await fakeTokenizer.encodeChat([{ role: "user", content: "aba" }]);
    const plain = await engine.generate({ ids, maxTokens: 6, propose: "none", logprobs: 2 }).result;
    expect(choices[0]).toMatchObject({
      ...{ index: 0, finish_reason: "length" },
      message: { role: "assistant", content: plain.text },
    });
    expect(choices[0].logprobs.content.map((one: { logprob: number }) => one.logprob)).toEqual(
      plain.logprobs?.map(({ logprob }) => logprob),
    );
    const [first] = choices[0].logprobs.content;
    expect(first.top_logprobs.length).toBe(2);
    expect(Buffer.from(first.bytes).toString()).toBe(first.token);
    expect(usage).toMatchObject({ prompt_tokens: ids.length, completion_tokens: 12, total_tokens: ids.length + 12 });
    expect(idlm).toEqual({ verify: "exact", lossless: true });
    const two = byId.two.response.body;
    expect(two.object).toBe("text_completion");
    expect(two.choices.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2, 3]);
    const { logprobs } = two.choices[2];
    expect([logprobs.tokens.length, logprobs.token_logprobs.length, logprobs.text_offset[0]]).toEqual([4, 4, 0]);
  });

  it("reports the error of each line, and continues", async () => {
    const { run, answers } = batchOf([
      ...["{", "[]", JSON.stringify({ custom_id: 7 })],
      ...[chatLine("a"), chatLine("a"), chatLine("b", { min_tokens: 1 }), chatLine("c", { max_tokens: 0 })],
      ...[chatLine("d").replace("chat/completions", "embeddings"), chatLine("e", { stream: true })],
      chatLine("f", { foo: 1 }),
    ]);
    expect(await run()).toMatchObject({ answered: 2, failed: 8 });
    const all = answers();
    const messages = all.filter(({ error }) => error !== null).map(({ error }) => error.message);
    for (const part of ["line 1: expected a JSON object", "line 2:", "line 3: custom_id:", "line 5: custom_id: an ear"])
      expect(messages.some((message) => message.startsWith(part))).toBe(true);
    const statuses = Object.fromEntries(
      all.filter(({ response }) => response !== null).map((one) => [one.custom_id, one.response.status_code]),
    );
    const ignored = all.find(({ custom_id: id }) => id === "f").response.body.idlm.ignored;
    expect(ignored).toEqual(["foo"]);
    expect(statuses).toEqual({ a: 200, b: 400, c: 400, d: 400, e: 400, f: 200 });
  });

  it("uses the body's names of keys", async () => {
    const { run, answers } = batchOf([
      chatLine("a", { max_tokens: 0 }),
      chatLine("b", { max_completion_tokens: 0 }),
      chatLine("c", { logit_bias: { a: 1 } }),
      chatLine("d", { top_p: 2 }),
      chatLine("e", { propose: "predicted" }),
      chatLine("f", { propose: "draft" }),
      chatLine("g", { stride: 9 }),
      chatLine("h", { logprobs: true, top_logprobs: 1.5 }),
      JSON.stringify({ custom_id: "i", method: "POST", url: "/v1/completions", body: { prompt: [-1] } }),
    ]);
    await run();
    const messages = Object.fromEntries(
      answers().map(({ custom_id: id, error, response }) => {
        expect(response.body.error.message).toBe(error.message);
        return [id, error.message];
      }),
    );
    expect(messages).toEqual({
      a: expect.stringMatching(/^max_tokens: expected/),
      b: expect.stringMatching(/^max_completion_tokens: expected/),
      c: expect.stringMatching(/^logit_bias: "a" is not a token id/),
      d: expect.stringMatching(/^top_p: expected/),
      e: expect.stringMatching(/Give prediction, or/),
      f: expect.stringMatching(/Load the model with a draft model, or/),
      g: expect.stringMatching(/^stride: expected/),
      h: expect.stringMatching(/^top_logprobs: expected a whole number from 0 to 20/),
      i: expect.stringMatching(/^prompt: -1 is not a token id/),
    });
    for (const message of Object.values(messages)) expect(message).not.toContain("--");
  });

  it("resumes after a killed run, and removes its incomplete line", async () => {
    const lines = ["x", ...Array.from({ length: 8 }, (_, i) => chatLine(`r${i}`)), chatLine("r0")];
    const whole = batchOf(lines);
    await whole.run();
    const expected = whole
      .answers()
      .map(({ custom_id, error, response }) => [custom_id, error, response?.body.choices]);
    const { run, output, answers, model } = batchOf(lines);
    await run();
    const text = readFileSync(output, "utf8");
    const before = model.rowCounts.length;
    for (const cut of [3, 40, text.lastIndexOf("\n", text.length - 2) + 10]) {
      truncateSync(output, text.length - cut);
      const { kept, answered } = await run();
      expect(kept + answered).toBeGreaterThan(7);
      const now = answers().map(({ custom_id, error, response }) => [custom_id, error, response?.body.choices]);
      expect(now.sort()).toEqual(expected.sort());
    }
    expect(model.rowCounts.length).toBeGreaterThan(before);
    // A complete last line without a line end is kept.
    truncateSync(output, readFileSync(output).length - 1);
    expect(await run()).toMatchObject({ answered: 0, failed: 0 });
    expect(answers().length).toBe(10);
  });

  it("does not overwrite another kind of file", async () => {
    const { run, output } = batchOf([chatLine("a")]);
    appendFileSync(output, "my diary\nmore\n");
    await expect(run()).rejects.toMatchObject({ code: "file-malformed" });
    expect(readFileSync(output, "utf8")).toBe("my diary\nmore\n");
  });

  it.each(['{"precious":[1]}', '{"id":"batch_x', '{"id":"batch_req_0","custom_id":"z"}\nmy diary', "{ ", "éé"])(
    "leaves %j alone, which has no line end",
    async (text) => {
      const { run, output } = batchOf([chatLine("a")]);
      appendFileSync(output, text);
      await expect(run()).rejects.toMatchObject({ code: "file-malformed" });
      expect(readFileSync(output, "utf8")).toBe(text);
    },
  );

  it.each([
    "{",
    '{"id":"batch_',
    '{"id":"batch_req_00ff',
    '{"id":"batch_line_7","custom',
    '{"id":"batch_req_0","x":"\u{1f600}',
  ])("drops %s, which a run has torn", async (text) => {
    const { run, output, answers } = batchOf([chatLine("a")]);
    const bytes = Buffer.from(text);
    // The last line is cut within a character.
    writeFileSync(output, text.endsWith("\u{1f600}") ? bytes.subarray(0, -2) : bytes);
    expect(await run()).toMatchObject({ answered: 1 });
    expect(answers()).toMatchObject([{ custom_id: "a" }]);
  });

  it.runIf(existsSync("/dev/full"))("writes to a device without reading it", async () => {
    const { input, engine } = batchOf([chatLine("a")]);
    const to = (output: string) => {
      const signal = AbortSignal.timeout(20_000);
      return runBatch(engine, { input, output, modelName: "m", concurrency: 3, signal, onProgress: () => {} });
    };
    await expect(to("/dev/full")).rejects.toMatchObject({ code: "file-unwritable" });
    expect(await to("/dev/null")).toMatchObject({ answered: 1, kept: 0 });
  });

  it.runIf(process.platform !== "win32")(
    "writes to a pipe, and waits for its reader no longer than it may",
    async () => {
      const { input, engine } = batchOf([chatLine("a")]);
      const output = join(folder, "pipe");
      execFileSync("mkfifo", [output]);
      const options = { input, output, modelName: "m", concurrency: 3, onProgress: () => {} };
      await expect(runBatch(engine, { ...options, signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
        name: "TimeoutError",
      });
      const done = runBatch(engine, { ...options, signal: new AbortController().signal });
      expect(JSON.parse(await readFile(output, "utf8"))).toMatchObject({ custom_id: "a" });
      expect(await done).toMatchObject({ answered: 1 });
    },
  );

  it("can be stopped while it reads earlier outputs", async () => {
    const { run, output } = batchOf([chatLine("a")]);
    const text = `{"id":"batch_req_0","custom_id":"z"}\n`.repeat(10_000);
    writeFileSync(output, text);
    const abort = new AbortController();
    const done = run(abort.signal);
    abort.abort();
    await expect(done).rejects.toMatchObject({ name: "AbortError" });
    expect(readFileSync(output, "utf8")).toBe(text);
  });

  it("reads requests from a stream, and closes it when writing fails or the run is stopped", async () => {
    const { engine, output, answers } = batchOf([]);
    const options = { output, modelName: "m", concurrency: 3, onProgress: () => {} };
    const { signal } = new AbortController();
    const input = Readable.from([Buffer.from(`${chatLine("a")}\n${chatLine("b")}`)]);
    expect(await runBatch(engine, { ...options, input, signal })).toMatchObject({ answered: 2 });
    expect(answers()).toHaveLength(2);
    const endless = () => new Readable({ read: () => {} });
    const abort = new AbortController();
    const waiting = runBatch(engine, { ...options, input: endless(), signal: abort.signal });
    setImmediate(() => abort.abort());
    await Promise.allSettled([waiting]);
    if (!existsSync("/dev/full")) return;
    const fed = endless();
    fed.push(Buffer.from(`${chatLine("c")}\n`));
    await expect(runBatch(engine, { ...options, input: fed, output: "/dev/full", signal })).rejects.toMatchObject({
      code: "file-unwritable",
    });
  });

  it("cancels running requests when it is stopped, and repeats them later", async () => {
    const { run, answers, model } = batchOf(Array.from({ length: 20 }, (_, i) => chatLine(`r${i}`, { n: 2 })));
    const abort = new AbortController();
    model.onForward = () => model.rowCounts.length === 12 && abort.abort();
    const { answered } = await run(abort.signal);
    expect(answered).toBeLessThan(20);
    expect(answers().length).toBe(answered);
    expect(await run()).toMatchObject({ answered: 20 - answered, kept: answered });
    expect(new Set(answers().map((one) => one.custom_id)).size).toBe(20);
  });
});
