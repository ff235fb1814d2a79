import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "../../../test/support/bundle.ts";
import { allowedTokens, walkVocabulary } from "../../../test/support/grammar-walk.ts";
import { IdlmError } from "../../errors.ts";
import { type GrammarRequest, programOf } from "../grammar.ts";
import type { GrammarState } from "../grammar-state.ts";
import { Grammars } from "../grammars.ts";
import { textsOf, treeOf } from "../vocabulary.ts";
import { GrammarThread } from "./grammar-thread.ts";

let folder = "";
let built = "";
const scratch = mkdtempSync(join(tmpdir(), "idlm-grammar-thread-"));
beforeAll(async () => {
  folder = await bundle("src/grammar/thread/worker.ts");
  built = join(folder, "worker.mjs");
});
afterAll(() => {
  for (const one of [folder, scratch]) rmSync(one, { recursive: true, force: true });
});

const started: GrammarThread[] = [];
function threadOf(file: string, limitMs?: number): GrammarThread {
  const thread = new GrammarThread(file, limitMs);
  started.push(thread);
  return thread;
}
afterEach(async () => {
  for (const thread of started.splice(0)) await thread.close();
});

/** The built thread, but for some grammars. */
function faultyThread(): string {
  const file = join(scratch, "faulty.mjs");
  const source = `
    const { parse } = JSON;
    JSON.parse = (json) => {
      if (json.includes("endless")) while (true);
      if (json.includes("throws")) throw new Error("a fault");
      if (json.includes("exits")) process.exit(3);
      if (json.includes("hungry")) for (const all = []; ; ) all.push(new Array(1_000_000).fill(0.5));
      return parse(json);
    };
    await import(${JSON.stringify(built)});
  `;
  writeFileSync(file, source);
  return file;
}

const schema = (value: unknown): GrammarRequest => ({ kind: "schema", schema: value });
const choice = (one: string): string => JSON.stringify({ kind: "choice", choices: [one] });
const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "no failure",
    (error: unknown) => (error instanceof IdlmError ? `${error.code} ${error.message}` : String(error)),
  );

/** Masks along the first tokens that are allowed. */
function masksOf(start: GrammarState): readonly number[][] {
  const masks: number[][] = [];
  for (let state: GrammarState | undefined = start; state !== undefined && masks.length < 12; ) {
    const allowed = allowedTokens(state);
    masks.push(allowed);
    state = state.after(allowed[masks.length % allowed.length] as number);
  }
  return masks;
}

describe("the thread of grammars", () => {
  it("compiles to what this thread compiles to", async () => {
    const thread = threadOf(built);
    const texts = textsOf(walkVocabulary);
    expect(await thread.treeOf(texts)).toEqual(treeOf(texts));
    const elsewhere = new Grammars(walkVocabulary);
    elsewhere.setCompiler(thread);
    const here = new Grammars(walkVocabulary);
    const requests: GrammarRequest[] = [
      { kind: "json" },
      schema({ properties: { a: { type: "string", maxLength: 9 }, b: { enum: [1, "é"] } }, required: ["a"] }),
      { kind: "regex", pattern: "(?:ab|[^c]{2,5})+" },
      { kind: "ebnf", grammar: 'root ::= "x" root | [0-9]{3}' },
    ];
    for (const request of requests) {
      const program = await thread.compile(JSON.stringify(request));
      expect(program).toEqual(programOf(request, "grammar"));
      const coming = elsewhere.get(request);
      expect(coming).toBeInstanceOf(Promise);
      expect(elsewhere.get(request)).toBe(coming);
      const compiled = await coming;
      expect(elsewhere.get(request)).toBe(compiled);
      expect(masksOf(compiled.start)).toEqual(masksOf(here.compile(request).start));
    }
  });

  it("tells what is wrong as this thread does", async () => {
    const thread = threadOf(built);
    const here = new Grammars(walkVocabulary);
    const requests = [
      schema({ not: {} }),
      schema({ minimum: "a" }),
      { kind: "ebnf", grammar: "root ::= root" } as const,
    ];
    for (const request of requests) {
      const errors = await Promise.all([
        thread.compile(JSON.stringify(request)).catch((error: unknown) => error),
        (async () => here.compile(request))().catch((error: unknown) => error),
      ]);
      const [elsewhere, own] = errors.map((error) => {
        if (!(error instanceof IdlmError)) throw error;
        const names = { grammar: "response_format" };
        return [error.code, error.messageWith(names), error.fieldWith(names)];
      });
      expect(elsewhere).toEqual(own);
    }
  });

  it("is started by the first grammar", async () => {
    const thread = threadOf(built);
    expect(thread.isRunning).toBe(false);
    await thread.compile(choice("a"));
    expect(thread.isRunning).toBe(true);
  });

  it.each([
    ["endless", /^usage grammar: compiling it takes longer than 2 s\. Make it smaller\.$/],
    ["throws", /^usage grammar: compiling it failed \(a fault\)/],
    ["exits", /^usage grammar: compiling it failed \(the thread ended with status 3\)/],
    ["hungry", /^usage grammar: compiling it failed \(.*memory/],
  ])("is replaced after a grammar that %s", async (how, expected) => {
    const thread = threadOf(faultyThread(), how === "endless" ? 2000 : 60_000);
    await thread.compile(choice("first"));
    const failing = failureOf(thread.compile(choice(how)));
    const waiting = thread.compile(choice("waiting"));
    expect(await failing).toMatch(expected);
    const expectedProgram = programOf({ kind: "choice", choices: ["waiting"] }, "grammar");
    expect(await waiting).toEqual(expectedProgram);
    expect(await thread.compile(choice("waiting"))).toEqual(expectedProgram);
  });

  it("that cannot be started is an error of the server", async () => {
    const missing = join(scratch, "missing.mjs");
    const thread = threadOf(missing);
    const both = [thread.compile(choice("a")), thread.compile(choice("b"))].map(failureOf);
    for (const failure of await Promise.all(both)) expect(failure).toMatch(/^file-missing .*missing\.mjs/);
    expect(await failureOf(thread.compile(choice("a")))).toMatch(/^file-missing/);
    const broken = join(scratch, "broken.mjs");
    writeFileSync(broken, "throw new Error('of no use');");
    expect(await failureOf(threadOf(broken).compile(choice("a")))).toMatch(/^file-unreadable .*of no use/);
  });

  it("ends with the server", async () => {
    const thread = threadOf(built);
    const failures = [thread.compile(choice("a")), thread.compile(choice("b"))].map(failureOf);
    await thread.close();
    for (const failure of await Promise.all(failures)) expect(failure).toMatch(/^stopping/);
    expect(await failureOf(thread.compile(choice("a")))).toMatch(/^stopping/);
  });
});
