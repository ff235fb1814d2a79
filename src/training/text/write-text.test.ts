import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { load } from "../../engine/load/load.ts";
import { createHash } from "node:crypto";
import { lockFolder } from "../../hub/index.ts";
import { responseTokens, type TextRow } from "./row.ts";
import type { TextManifest } from "./text-manifest.ts";
import { type LoadLimits, type WriteTextOptions, writeText } from "./write-text.ts";

const model = fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url));
const otherModel = fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-BF16.gguf", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idlm-write-"));
afterAll(() => rmSync(folder, { recursive: true }));

const prompts = join(folder, "prompts.txt");
const subjects = ["the sea", "my dog", "old maps", "a red kite", "winter", "bread", "two cats"];
writeFileSync(prompts, subjects.map((subject, i) => `Tell me ${i} things about ${subject}`).join("\n"));

const FILES = ["text.jsonl", "dropped.jsonl", "manifest.json"];
const contentOf = (out: string) => FILES.map((name) => readFileSync(join(out, name), "latin1"));
const rowsOf = (out: string): TextRow[] => linesOf(join(out, "text.jsonl"));
const linesOf = <T>(path: string): T[] =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);

const TOKENS = 6000;
let nFolders = 0;
const newFolder = () => join(folder, `out${nFolders++}`);

function write(given: Partial<WriteTextOptions> = {}): Promise<TextManifest> {
  const load_ = ({ ...limits }: LoadLimits) => load(model, { adapter: false, threads: 1, ...limits });
  return writeText({
    ...{ model, out: newFolder(), tokens: TOKENS, seed: 5, prompts, load: load_ },
    ...{ onProgress: () => {}, onNotice: () => {}, signal: new AbortController().signal },
    packages: { cache: join(folder, "cache") },
    ...given,
  });
}

const undisturbed = newFolder();
let manifest: TextManifest;
beforeAll(async () => {
  manifest = await write({ out: undisturbed });
});

describe("the text of a file of prompts", () => {
  it("has rows in the order of requests, up to the one that completes the tokens", () => {
    const rows = rowsOf(undisturbed);
    const dropped = linesOf<{ readonly index: number }>(join(undisturbed, "dropped.jsonl"));
    const indexes = [...rows, ...dropped].map(({ index }) => index).sort((a, b) => a - b);
    expect(indexes).toEqual(indexes.map((_, i) => i));
    expect(rows.map(({ index }) => index)).toEqual(rows.map(({ index }) => index).toSorted((a, b) => a - b));
    const sums = rows.map((_, i) => rows.slice(0, i + 1).reduce((sum, row) => sum + responseTokens(row), 0));
    expect(sums.at(-1)).toBeGreaterThanOrEqual(TOKENS);
    expect(sums.at(-2)).toBeLessThan(TOKENS);
    expect(indexes.at(-1)).toBe(rows.at(-1)?.index);
  });

  it("has what the model writes for the prompt with the row's seed, cut before a run of 12 tokens comes again", async () => {
    const engine = await load(model, { adapter: false, threads: 1, context: 512 });
    try {
      for (const row of rowsOf(undisturbed).slice(0, 8)) {
        const { ids, response_mask: mask, temperature, seed, finish, messages } = row;
        expect(mask.length).toBe(ids.length);
        const nPrompt = mask.indexOf(1);
        expect(ids.slice(0, nPrompt)).toEqual(await engine.tokenizer?.encodeChat(messages.slice(0, -1)));
        expect(mask.slice(nPrompt).every((bit) => bit === 1)).toBe(true);
        const answer = ids.slice(nPrompt);
        const { tokens, endToken } = await engine.generate({
          ...{ ids: ids.slice(0, nPrompt), temperature, seed, propose: "none", maxTokens: answer.length + 20 },
        }).result;
        const whole = endToken === undefined ? tokens : [...tokens, endToken];
        expect(whole.slice(0, answer.length)).toEqual(answer);
        const text = engine.detokenize(finish === "end" ? answer.slice(0, -1) : answer);
        expect(messages.at(-1)).toEqual({ role: "assistant", content: text });
        const runs = (to: readonly number[]) => to.map((_, i) => to.slice(i, i + 12).join()).slice(0, -11);
        expect(new Set(runs(answer)).size).toBe(runs(answer).length);
        if (finish !== "cut") continue;
        const longer = runs(tokens.slice(0, answer.length + 12));
        expect(longer.indexOf(longer.at(-1) ?? "")).toBeLessThan(longer.length - 1);
      }
    } finally {
      await engine.dispose();
    }
  });

  it("has a manifest of counts and hashes", () => {
    const rows = rowsOf(undisturbed);
    const text = readFileSync(join(undisturbed, "text.jsonl"));
    expect(manifest).toMatchObject({
      ...{ complete: true, rows: rows.length, held_out_rows: rows.filter(({ split }) => split === "held-out").length },
      settings: { seed: 5, tokens: TOKENS, prompts: "file" },
      files: [{ bytes: text.length, sha256: createHash("sha256").update(text).digest("hex") }],
    });
    const heldOut = new Set(
      rows.filter(({ split }) => split === "held-out").map(({ messages }) => messages[0]?.content),
    );
    expect(heldOut.size).toBe(1);
    for (const { messages, split } of rows) expect(split === "held-out").toBe(heldOut.has(messages[0]?.content));
  });

  it("is the same with other numbers of threads and of requests at once", async () => {
    const out = newFolder();
    await write({ out, concurrency: 5, load: (limits) => load(model, { adapter: false, threads: 2, ...limits }) });
    expect(contentOf(out)).toEqual(contentOf(undisturbed));
  });
});

describe("a run that is interrupted", () => {
  it("goes on where it stopped, and ends in the same bytes", async () => {
    const out = newFolder();
    const total = manifest.requests;
    for (const stop of [0, 3, 1, 6]) {
      const abort = new AbortController();
      let n = 0;
      const onProgress = () => {
        if (n++ === stop) abort.abort();
      };
      await expect(write({ out, concurrency: 1, signal: abort.signal, onProgress })).rejects.toMatchObject({
        name: "AbortError",
      });
    }
    expect(rowsOf(out).length).toBeGreaterThan(3);
    const notices: string[] = [];
    let nNew = 0;
    await write({ out, onNotice: (sentence) => notices.push(sentence), onProgress: () => nNew++ });
    expect(notices).toEqual([expect.stringMatching(/continuing after \d+ rows, \d+ tokens/)]);
    expect(nNew).toBeLessThanOrEqual(total - 4);
    expect(contentOf(out)).toEqual(contentOf(undisturbed));
  });

  it("ends in the same bytes whatever part of its files the disk has kept", async () => {
    const out = newFolder();
    await write({ out });
    const whole = contentOf(out);
    const lengths = whole.map((content) => Buffer.byteLength(content));
    const cuts = fc.tuple(
      fc.nat(lengths[0] as number),
      fc.nat(lengths[1] as number),
      fc.constantFrom("", "\0\0\0", "{"),
    );
    await fc.assert(
      fc.asyncProperty(cuts, async ([text, dropped, end]) => {
        truncateSync(join(out, "text.jsonl"), text);
        truncateSync(join(out, "dropped.jsonl"), dropped);
        appendFileSync(join(out, "text.jsonl"), end);
        await write({ out });
        expect(contentOf(out)).toEqual(whole);
      }),
      // Zeros in place of the last bytes: sizes alone do not show it. And nothing of the dropped requests.
      { numRuns: 6, examples: [[[(lengths[0] as number) - 3, 0, "\0\0\0"]], [[lengths[0] as number, 0, ""]]] },
    );
  });

  it("is continued for more tokens, and left alone for fewer", async () => {
    const out = newFolder();
    await write({ out, tokens: 1500 });
    const before = readFileSync(join(out, "text.jsonl"), "utf8");
    expect(await write({ out, tokens: 100, load: () => Promise.reject(new Error("loaded")) })).toMatchObject({
      settings: { tokens: 1500 },
    });
    await write({ out });
    expect(contentOf(out)).toEqual(contentOf(undisturbed));
    expect(readFileSync(join(out, "text.jsonl"), "utf8").startsWith(before)).toBe(true);
  });
});

describe("a folder that cannot be used", () => {
  const rejected = (given: Partial<WriteTextOptions>) =>
    expect(write({ load: () => Promise.reject(new Error("loaded")), ...given })).rejects;

  it.each([
    ["another seed", { seed: 6 }, /with seed 5, not 6\. Name another folder \(out\)/],
    ["another model", { model: otherModel }, /with SHA-256 of the model [0-9a-f]{64}, not/],
    ["no file of prompts", { prompts: undefined }, /with prompts file, not mixed/],
  ])("rejects %s, and leaves the text as it is", async (_, given, message) => {
    const before = contentOf(undisturbed);
    await rejected({ out: undisturbed, ...given }).toMatchObject({
      code: "run-mismatch",
      message: expect.stringMatching(message),
    });
    expect(contentOf(undisturbed)).toEqual(before);
  });

  it("rejects other prompts, also in a finished folder", async () => {
    const changed = join(folder, "changed.txt");
    writeFileSync(changed, `${readFileSync(prompts, "utf8")}\nOne more`);
    await rejected({ out: undisturbed, prompts: changed }).toThrow(/with prompts_sha256 [0-9a-f]{64}, not/);
  });

  it("begins where a full disk left empty files, and no manifest", async () => {
    const out = newFolder();
    mkdirSync(out);
    for (const file of ["text.jsonl", "dropped.jsonl"]) writeFileSync(join(out, file), "");
    await write({ out, tokens: 300 });
    expect(rowsOf(out).length).toBeGreaterThan(0);
  });

  it("rejects text without a manifest, a changed manifest, and a damaged line", async () => {
    const out = newFolder();
    mkdirSync(out);
    writeFileSync(join(out, "text.jsonl"), "my diary\n");
    await rejected({ out }).toThrow(/text\.jsonl: expected a manifest\.json beside it, found none/);
    expect(readFileSync(join(out, "text.jsonl"), "utf8")).toBe("my diary\n");

    const copy = newFolder();
    await write({ out: copy, tokens: 1500 });
    const path = join(copy, "manifest.json");
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace('"seed": 5', '"seed": 6'));
    await rejected({ out: copy, seed: 6 }).toThrow(/sha256: expected the hash of the other keys, found another/);
    writeFileSync(path, "{}");
    await rejected({ out: copy }).toMatchObject({ code: "file-malformed" });
    writeFileSync(path, text);

    const lines = readFileSync(join(copy, "text.jsonl"), "utf8").split("\n");
    writeFileSync(join(copy, "text.jsonl"), [lines[0], "garbage", ...lines.slice(2)].join("\n"));
    await rejected({ out: copy }).toThrow(/text\.jsonl: line 2: expected a line of training text/);
  });

  it("rejects a file in place of the folder, and a folder that another process writes to", async () => {
    await rejected({ out: prompts }).toMatchObject({ code: "file-unwritable" });
    const out = newFolder();
    mkdirSync(out);
    const lock = await lockFolder(out, undefined, join(folder, "cache"));
    await rejected({ out }).toMatchObject({ code: "busy" });
    await lock.release();
  });

  it("rejects more tokens than the disk has room for, before anything is loaded", async () => {
    await rejected({ tokens: 1e14 }).toThrow(/cannot be written: about \d+\.\d MB needed, \d+\.\d MB free on its disk/);
  });
});

it("ends where prompts give nothing new, and keeps what they gave", async () => {
  const one = join(folder, "one.txt");
  // Its prompt does not fit.
  writeFileSync(one, "word ".repeat(400));
  const out = newFolder();
  await expect(write({ out, prompts: one })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(/the prompts are used up: they gave 0 of 6000 tokens/),
  });
  const reasons = new Set(linesOf<{ readonly reason: string }>(join(out, "dropped.jsonl")).map(({ reason }) => reason));
  expect([...reasons].sort()).toEqual(["prompt-too-long", "repeated-prompt"]);
});

it("says what to do without the packages", async () => {
  const packages = { cache: join(folder, "cache"), pipCommands: [["idlm-test-no-such-program"]] as const };
  await expect(write({ prompts: undefined, packages })).rejects.toMatchObject({
    code: "download",
    message: expect.stringMatching(/no pip was found .* Or write with prompts of your own \(prompts\)/),
  });
});
