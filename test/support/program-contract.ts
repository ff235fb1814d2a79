import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Backend, ProgramLoadOptions } from "../../src/compute/backend.ts";
import type { Forest } from "../../src/compute/forest/forest.ts";
import type { LoadedModel } from "../../src/compute/loaded-model.ts";
import { type Operation, operationKinds } from "../../src/compute/program/operations.ts";
import { DRAFT_VOCABULARY, type Parameter, type Program } from "../../src/compute/program/program.ts";
import { ReferenceExecutor } from "../../src/compute/reference/reference-executor.ts";
import { type Adapter, readAdapter } from "../../src/formats/adapter/adapter.ts";
import { compileProgram } from "../../src/model/compile.ts";
import { openModel } from "../../src/model/open/open-model.ts";
import { chain, fixtures, forestOf, runForest } from "./backend-contract.ts";
import { quantised } from "./quantised-program.ts";

export const adapterOf = (name: string): Adapter => readAdapter(join(fixtures, "idlm", name));

function compiled(model: string, adapter?: Adapter): Program {
  const opened = openModel(join(fixtures, "models", model), "huggingface");
  return compileProgram(opened, adapter && { adapter });
}

/** Tokens, and MASK runs at two of them. */
const forest: Forest = forestOf({
  tokens: [5, 17, 200, 31, 8, -1, -1, -1, -1, 77],
  positions: [0, 1, 2, 3, 4, 5, 6, 3, 4, 3],
  parents: [-1, 0, 1, 2, 3, 4, 5, 2, 7, 2],
  gate: [0, 0, 0, 0, 0, 1, 1, 1, 1, 0],
});
const rows = [...forest.tokens.keys()];

/** All results of a forward of the forest: equal for models with the same bits. */
async function outputs(model: LoadedModel): Promise<readonly Float32Array[]> {
  const result = await runForest(model, forest);
  return rows.flatMap((row) => {
    const isMask = forest.tokens[row] === -1;
    const afterHead = isMask ? [result.draftLogits({ kind: "mask", row, previous: 9 })] : [];
    return [result.hidden(row), result.logits(row), ...afterHead];
  });
}

/** The program with other trainable parameters, and these parameters. */
function retrained(program: Program): { readonly program: Program; readonly values: Map<string, Float32Array> } {
  const values = new Map<string, Float32Array>();
  const parameters: Record<string, Parameter> = { ...program.parameters };
  for (const [id, parameter] of Object.entries(program.parameters)) {
    if (!parameter.isTrainable) continue;
    const own = Float32Array.from({ length: parameter.rows * parameter.cols }, (_, i) => Math.sin(i + id.length) / 8);
    values.set(id, own);
    parameters[id] = { ...parameter, bytes: new Uint8Array(own.buffer) };
  }
  return { program: { ...program, parameters }, values };
}

/** The adapter with a different draft vocabulary. */
function withDraft(adapter: Adapter, draftVocabulary: Int32Array<ArrayBuffer>): Adapter {
  return { ...adapter, idlm: adapter.idlm && { ...adapter.idlm, draftVocabulary } };
}

/** Models and adapters whose values are compared with the reference's. */
const keptPrograms: readonly (readonly [model: string, adapter: string | undefined])[] = [
  ["llama-tiny", undefined],
  ["qwen2-tiny", undefined],
  ["qwen3-tiny", undefined],
  ["llama-tiny", "llama-tiny-entry0"],
  ["llama-tiny", "llama-tiny-entry1"],
];

/** A program with operations between others than the compiler puts them. */
function withOtherOperations(): Program {
  const program = compiled("llama-tiny", adapterOf("llama-tiny-entry0"));
  const width = program.sizes.hiddenSize;
  const mixing = Float32Array.from({ length: 2 * width * width }, (_, i) => Math.cos(i) / 8);
  const mix = { rows: width, cols: 2 * width, type: "F32", origin: "base", isTrainable: false } as const;
  const parameters = { ...program.parameters, mix: { ...mix, bytes: new Uint8Array(mixing.buffer) } };
  const none = { parameters: {}, attributes: {} };
  const added: readonly Operation[] = [
    { kind: "silu", rows: "output", inputs: { x: "gathered" }, ...none, out: "a" },
    { kind: "add", rows: "output", inputs: { x: "gathered", y: "a" }, ...none, out: "b" },
    { kind: "concat", rows: "output", inputs: { x: "b", y: "a" }, ...none, out: "c" },
    { kind: "linear", rows: "output", inputs: { x: "c" }, parameters: { weight: "mix" }, attributes: {}, out: "d" },
    { kind: "swiglu", rows: "output", inputs: { gate: "d", up: "b" }, ...none, out: "e" },
  ];
  const forward = program.forward.flatMap((operation) => {
    if (operation.kind === "gather") return [operation, ...added];
    return operation.out === "hidden" ? [{ ...operation, inputs: { x: "e" } } as Operation] : [operation];
  });
  const widths = { a: width, b: width, c: 2 * width, d: width, e: width };
  const own = Object.entries(widths).map(([id, w]) => [id, { width: w, rows: "output" as const }]);
  return { ...program, parameters, forward, values: { ...program.values, ...Object.fromEntries(own) } };
}

/** The contract of programs: windows, parameters, lists in any order, kept values. Each backend's test calls this. */
export function describeProgram(name: string, create: () => Backend): void {
  describe(`${name}: programs`, () => {
    let backend: Backend;
    beforeAll(() => {
      backend = create();
    });
    const load = (program: Program, options?: ProgramLoadOptions) => backend.load(program, options);

    describe("attention with a window", () => {
      const windowed = (program: Program, window: number): Program => ({
        ...program,
        forward: program.forward.map(
          (operation): Operation =>
            operation.kind === "attention"
              ? { ...operation, attributes: { ...operation.attributes, window } }
              : operation,
        ),
      });
      const tokens = Array.from({ length: 70 }, (_, i) => (i * 37 + 11) % 300);
      const pages = [3, 0, 4, 1, 2];

      it.each(["llama-tiny", "qwen3-tiny"])("of one position contains only the row itself, in %s", async (model) => {
        const loaded = await load(windowed(compiled(model), 1));
        const result = await runForest(loaded, forestOf({ tokens }));
        const logits = tokens.map((_, row) => result.logits(row));
        const apart = await runForest(loaded, forestOf({ tokens, parents: tokens.map(() => -1) }));
        for (const [row, own] of logits.entries()) expect(apart.logits(row), `row ${row}`).toEqual(own);
      });

      it("that covers all positions changes nothing", async () => {
        const plain = await runForest(await load(compiled("llama-tiny")), forestOf({ tokens }));
        const wide = await runForest(await load(windowed(compiled("llama-tiny"), 70)), forestOf({ tokens }));
        for (const row of tokens.keys()) expect(wide.logits(row)).toEqual(plain.logits(row));
      });

      it.each([2, 7, 16, 17, 33])(
        "of %i positions depends on these alone, and agrees with the reference",
        async (window) => {
          const program = windowed(compiled("llama-tiny"), window);
          const loaded = await load(program);
          const cache = loaded.createCache(5);
          const whole = await loaded.forward(chain(tokens, 0, pages), cache);
          const expected = tokens.map((_, row) => whole.logits(row));
          const reference = new ReferenceExecutor(program);
          const oracle = await reference.forward(chain(tokens, 0, pages), reference.createCache(5));
          for (const [row, logits] of expected.entries()) {
            const other = oracle.logits(row);
            const largest = Math.max(...logits.map((value, i) => Math.abs(value - (other[i] as number))));
            expect(largest, `row ${row}`).toBeLessThan(1e-4);
          }
          // In chunks, and for a row whose ancestors are not contiguous.
          for (let length = 0; length < tokens.length; length += 23) {
            const piece = tokens.slice(length, length + 23);
            const result = await loaded.forward(chain(piece, length, pages), cache);
            for (const row of piece.keys()) expect(result.logits(row)).toEqual(expected[length + row]);
          }
          const tree = {
            tokens: [1, ...tokens.slice(60)],
            parents: [-1, -1, ...tokens.slice(61).map((_, i) => i + 1)],
          };
          const positions = [60, ...tokens.slice(60).map((_, i) => 60 + i)];
          const below = forestOf({ ...tree, positions });
          const branch = { ...below, sequences: [{ length: 60, pages }], sequence: below.sequence.map(() => 0) };
          const result = await loaded.forward(branch, cache);
          for (let row = 1; row < tree.tokens.length; row++) expect(result.logits(row)).toEqual(expected[59 + row]);
        },
      );

      it("affects the result", async () => {
        const plain = await runForest(await load(compiled("llama-tiny")), forestOf({ tokens }));
        const narrow = await runForest(await load(windowed(compiled("llama-tiny"), 33)), forestOf({ tokens }));
        expect(narrow.logits(32)).toEqual(plain.logits(32));
        expect(narrow.logits(33)).not.toEqual(plain.logits(33));
      });
    });

    describe("parameters", () => {
      it.each([
        ["llama-tiny-entry0", "float", (program: Program) => program],
        ["llama-tiny-entry1", "float", (program: Program) => program],
        ["llama-tiny-entry0", "Q4_1", (program: Program) => quantised(program, "Q4_1", "Q8_0")],
      ] as const)("that are replaced give the bits of a fresh load: %s, %s", async (adapter, _, change) => {
        const program = change(compiled("llama-tiny", adapterOf(adapter)));
        const other = retrained(program);
        const fresh = await outputs(await load(other.program));
        const model = await load(program);
        const before = await outputs(model);
        await model.replaceParameters(other.values);
        expect(await outputs(model)).toEqual(fresh);
        expect(fresh).not.toEqual(before);
        const back = [...other.values.keys()].map((id) => [id, floatsOf(program.parameters[id])] as const);
        await model.replaceParameters(new Map(back));
        expect(await outputs(model)).toEqual(before);
      });

      it("are all replaced, or none", async () => {
        const program = compiled("llama-tiny", adapterOf("llama-tiny-entry0"));
        const model = await load(program);
        const before = await outputs(model);
        const { values } = retrained(program);
        const [first = ""] = values.keys();
        const wrong: readonly (readonly [string, Float32Array, RegExp])[] = [
          ["model.norm.weight", new Float32Array(64), /model\.norm\.weight is not trainable/],
          [DRAFT_VOCABULARY, new Float32Array(100), /draft_vocabulary is not trainable/],
          ["sampler_head.w3", new Float32Array(1), /sampler_head\.w3 is not trainable/],
          [first, new Float32Array(3), /3 values, expected/],
          [first, (values.get(first) ?? expect.fail()).with(1, Number.NaN), /value 1 is NaN, expected a finite number/],
        ];
        for (const [id, floats, message] of wrong) {
          const some = new Map([...values].filter(([other]) => other !== id)).set(id, floats);
          await expect(model.replaceParameters(some)).rejects.toThrow(message);
        }
        expect(await outputs(model)).toEqual(before);
      });

      it("are not replaced while a forward runs", async () => {
        const program = compiled("llama-tiny", adapterOf("llama-tiny-entry0"));
        const model = await load(program);
        const before = await outputs(model);
        const running = outputs(model);
        await expect(model.replaceParameters(retrained(program).values)).rejects.toThrow(/a forward .* is running/);
        expect(await running).toEqual(before);
      });

      it("can be replaced without an effect on another model over the same base", async () => {
        const program = compiled("llama-tiny", adapterOf("llama-tiny-entry0"));
        const one = await load(program);
        const two = await load(program, { shareWith: one });
        const before = await outputs(one);
        await two.replaceParameters(retrained(program).values);
        expect(await outputs(one)).toEqual(before);
        expect(await outputs(two)).not.toEqual(before);
      });

      const entry0 = adapterOf("llama-tiny-entry0");
      it.each<[string, Program, Program]>([
        ["two adapters", compiled("llama-tiny", entry0), compiled("llama-tiny", adapterOf("llama-tiny-entry1"))],
        ["an adapter over a model without", compiled("llama-tiny"), compiled("llama-tiny", entry0)],
        ["a model without over one with an adapter", compiled("llama-tiny", entry0), compiled("llama-tiny")],
        [
          "two draft vocabularies",
          compiled("llama-tiny", entry0),
          compiled(
            "llama-tiny",
            withDraft(
              entry0,
              Int32Array.from({ length: 70 }, (_, i) => 3 + 4 * i),
            ),
          ),
        ],
        [
          "quantised weights",
          quantised(compiled("llama-tiny", entry0), "Q4_0"),
          quantised(compiled("llama-tiny", withDraft(entry0, Int32Array.of(1, 5, 300))), "Q4_0"),
        ],
      ])("of the base are shared by %s, and the bits are those of separate loads", async (_, first, second) => {
        const hasMasks = second.mask !== undefined;
        const run = async (model: LoadedModel) =>
          hasMasks ? outputs(model) : [(await runForest(model, forestOf({ tokens: [4, 5] }))).logits(1)];
        const alone = await load(second);
        const expected = await run(alone);
        const one = await load(first);
        // The base's bytes are not read again, except for rows of a different draft vocabulary.
        const unread = Object.entries(second.parameters).map(([id, parameter]) => {
          const { rows, cols, type, origin, isTrainable, rowOrder } = parameter;
          if (origin === "adapter" || id === "model.embed_tokens.weight" || id === "lm_head.weight")
            return [id, parameter];
          const shape = { rows, cols, type, origin, isTrainable, ...(rowOrder && { rowOrder }) };
          const bytes = (): never => expect.fail(`the bytes of ${id} were read`);
          return [id, Object.defineProperty(shape, "bytes", { get: bytes, enumerable: true })];
        });
        const two = await load({ ...second, parameters: Object.fromEntries(unread) }, { shareWith: one });
        expect(await run(two)).toEqual(expected);
        expect(two.sharedWeightBytes).toBeGreaterThan(0);
        expect(one.sharedWeightBytes).toBe(0);
        // Its own bytes: its parameters, and at most the rows of its draft vocabulary.
        const own = two.weightBytes - two.sharedWeightBytes;
        const ids = second.parameters[DRAFT_VOCABULARY]?.cols ?? 0;
        const adapters = Object.values(second.parameters).filter(({ origin }) => origin === "adapter");
        const max = adapters.reduce((sum, { rows, cols }) => sum + rows * cols * 4, 0);
        expect(own).toBeLessThanOrEqual(2 * max + (ids + 16) * second.sizes.hiddenSize * 4);
        expect(two.sharedWeightBytes).toBeLessThanOrEqual(one.weightBytes);
        one.dispose();
        expect(await run(two)).toEqual(expected);
      });

      it("of another model are not shared", async () => {
        const one = await load(compiled("llama-tiny"));
        await expect(load(compiled("qwen2-tiny"), { shareWith: one })).rejects.toThrow(/is not the one of the model/);
      });
    });

    it("run the operations of a list in any valid order", async () => {
      const changed = withOtherOperations();
      const reference = new ReferenceExecutor(changed);
      const oracle = await reference.forward(forest, reference.createCache(1));
      for (const keepValues of [false, true]) {
        const result = await runForest(await load(changed, { keepValues }), forest);
        for (const row of rows) {
          const expected = oracle.logits(row);
          const largest = Math.max(...result.logits(row).map((value, i) => Math.abs(value - (expected[i] as number))));
          expect(largest, `row ${row}`).toBeLessThan(1e-4);
        }
      }
    });

    it("have every kind of operation in this suite, so that each backend runs all of them", () => {
      const programs = keptPrograms.map(([model, adapter]) =>
        compiled(model, adapter === undefined ? undefined : adapterOf(adapter)),
      );
      const lists = [...programs, withOtherOperations()].flatMap(({ forward }) => forward);
      expect(new Set(lists.map(({ kind }) => kind))).toEqual(new Set(Object.keys(operationKinds)));
    });

    describe("values that are kept", () => {
      it.each(keptPrograms)("are the reference's, of %s with %s", async (model, adapter) => {
        const program = compiled(model, adapter === undefined ? undefined : adapterOf(adapter));
        const used = program.mask === undefined ? forestOf({ tokens: [5, 17, 200, 31, 8] }) : forest;
        const kept = await runForest(await load(program, { keepValues: true }), used);
        const plain = await runForest(await load(program), used);
        const reference = new ReferenceExecutor(program);
        const oracle = await reference.forward(used, reference.createCache(1));
        const isLoraInput = new Set(program.forward.flatMap((op) => (op.kind === "lora" ? [op.inputs.y] : [])));
        let compared = 0;
        for (const row of used.tokens.keys()) {
          expect(kept.hidden(row)).toEqual(plain.hidden(row));
          expect(kept.logits(row)).toEqual(plain.logits(row));
          const isMask = used.tokens[row] === -1;
          for (const { kind, rows: set, out } of program.forward) {
            const isThere = set === "all" || set === "output" || set.endsWith(isMask ? "mask" : "token");
            if (kind === "logits" || isLoraInput.has(out) || !isThere) continue;
            const found = kept.value(out, row);
            const expected = oracle.value(out, row);
            expect(found.length).toBe(expected.length);
            const size = Math.max(1, ...expected.map(Math.abs));
            found.forEach((value, i) => {
              if (!(Math.abs(value - (expected[i] as number)) < 2e-5 * size)) expect.fail(`${out}, row ${row}, ${i}`);
            });
            compared++;
          }
        }
        expect(compared).toBeGreaterThan(100);
        expect(() => kept.value("nothing", 0)).toThrow(/nothing/);
        expect(() => kept.value("hidden", 99)).toThrow();
      });

      it.each(["Q4_0", "Q8_0"] as const)("give the same bits in %s", async (type) => {
        const program = quantised(compiled("llama-tiny", adapterOf("llama-tiny-entry1")), type);
        expect(await outputs(await load(program, { keepValues: true }))).toEqual(await outputs(await load(program)));
      });
    });
  });
}

function floatsOf(parameter: Parameter | undefined): Float32Array {
  const { bytes } = parameter ?? expect.fail("no such parameter");
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}
