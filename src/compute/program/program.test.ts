import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fixtures } from "../../../test/support/backend-contract.ts";
import { readAdapter } from "../../formats/adapter/adapter.ts";
import { compileProgram } from "../../model/compile.ts";
import { openModel } from "../../model/open/open-model.ts";
import { liveRanges, peakWidth } from "./liveness.ts";
import type { Operation } from "./operations.ts";
import { HEAD_INPUT, type Parameter, type Program, tokenMatrices } from "./program.ts";
import { validateProgram } from "./validate-program.ts";

function compiled(adapter?: string, model = "llama-tiny"): Program {
  const opened = openModel(join(fixtures, "models", model), "huggingface");
  return compileProgram(opened, adapter === undefined ? {} : { adapter: readAdapter(join(fixtures, "idlm", adapter)) });
}

const adapters = [undefined, "llama-tiny-entry0", "llama-tiny-entry1"] as const;

describe("a compiled program", () => {
  it.each(adapters)("with %s is complete", (adapter) => {
    const program = compiled(adapter);
    expect(() => validateProgram(program)).not.toThrow();
    const { forward, heads, parameters, values } = program;
    const lists = [forward, ...[heads.sampler, ...heads.extra].map((head) => head?.operations ?? [])];
    expect(forward.map(({ out }) => out)).toEqual(Object.keys(values));
    const used = new Set(lists.flat().flatMap((operation) => Object.values<string>(operation.parameters)));
    expect(new Set(Object.keys(parameters))).toEqual(used);
    const trainable = Object.entries(parameters).filter(([, { isTrainable }]) => isTrainable);
    expect(trainable.every(([, { origin, type }]) => origin === "adapter" && type === "F32")).toBe(true);
    expect(trainable.length > 0).toBe(adapter !== undefined);
  });

  it("says on which rows operations run: MASK rows from the entry layer on", () => {
    const { forward } = compiled("llama-tiny-entry1");
    const at = forward.findIndex(({ kind }) => kind === "enter");
    const attentions = forward.flatMap((operation) => (operation.kind === "attention" ? [operation.rows] : []));
    expect(attentions).toEqual(["token", "all"]);
    expect(new Set(forward.slice(0, at).map(({ rows }) => rows))).toEqual(new Set(["token"]));
    expect(new Set(compiled().forward.map(({ rows }) => rows))).toEqual(new Set(["token", "output-token"]));
  });

  it("has the sampler head as a list of its own, over a hidden state and a previous id", () => {
    const { heads } = compiled("llama-tiny-entry0");
    const { operations = [], values = {} } = heads.sampler ?? {};
    expect(operations.map(({ kind }) => kind)).toEqual(
      ["embed", "rmsnorm", "concat", "linear", "silu", "linear", "add", "logits"], // h + w2 · silu(w1 · [h; e])
    );
    expect(values[HEAD_INPUT]).toEqual({ width: 64, rows: "head" });
  });
});

describe("validateProgram", () => {
  const program = compiled("llama-tiny-entry1");
  /** Of any values, since programs may be wrong. */
  type Change = Readonly<Partial<Record<keyof Operation, unknown>>>;
  const changed = (kind: Operation["kind"], change: (operation: Operation) => Change): Program => {
    const at = program.forward.findIndex((operation) => operation.kind === kind);
    const forward = program.forward.map((operation, i) =>
      i === at ? ({ ...operation, ...change(operation) } as Operation) : operation,
    );
    return { ...program, forward };
  };
  const withParameter = (id: string, change: Partial<Parameter>): Program => {
    const parameter = { ...(program.parameters[id] as Parameter), ...change };
    return { ...program, parameters: { ...program.parameters, [id]: parameter } };
  };
  const { output } = tokenMatrices(program);

  it.each<[string, Program, RegExp]>([
    ["a value that is written twice", changed("add", () => ({ out: "embed" })), /add of embed: .* a second time/],
    [
      "a value that is read before",
      changed("rmsnorm", () => ({ inputs: { x: "hidden" } })),
      /hidden, which nothing wrote/,
    ],
    ["a result that is not declared", changed("swiglu", () => ({ out: "other" })), /not declared/],
    ["rows that an input lacks", changed("rmsnorm", () => ({ rows: "all" })), /declared on rows token/],
    [
      "rows that are not written yet",
      changed("join", () => ({ inputs: { token: "mask_embed", mask: "mask_embed" } })),
      /mask only/,
    ],
    [
      "an unknown attribute",
      changed("rope", ({ attributes }) => ({ attributes: { ...attributes, base: 2 } })),
      /base is not known/,
    ],
    ["a missing parameter", changed("linear", () => ({ parameters: {} })), /weight is missing/],
    [
      "a parameter that is not there",
      changed("embed", () => ({ parameters: { weight: "w" } })),
      /weight is w, which is not there/,
    ],
    [
      "shapes that do not fit",
      changed("attention", ({ attributes }) => ({ attributes: { ...attributes, nHeads: 3 } })),
      /q consists of its heads/,
    ],
    [
      "layers out of order",
      changed("attention", ({ attributes }) => ({ attributes: { ...attributes, layer: 1 } })),
      /layers 1, 1/,
    ],
    ["a parameter of other bytes", withParameter(output, { bytes: new Uint8Array(4) }), /has 4 bytes, expected/],
    ["MASK rows without logits", { ...program, results: { hidden: "hidden", logits: "logits" } }, /belong together/],
    ["a result that nothing writes", { ...program, results: { ...program.results, hidden: "h" } }, /hidden is h/],
  ])("refuses %s", (_, wrong, message) => {
    expect(() => validateProgram(wrong)).toThrow(message);
  });
});

describe("liveness", () => {
  it("keeps a value from where it is written to where it is read last", () => {
    const { forward, results } = compiled();
    const ranges = liveRanges(forward, Object.values(results));
    const index = (out: string) => forward.findIndex((operation) => operation.out === out);
    expect(ranges.get("embed")).toEqual({ written: 0, lastRead: index("layers.0.after_attention") });
    expect(ranges.get("layers.0.v")?.lastRead).toBe(index("layers.0.attention"));
    expect(ranges.get("hidden")?.lastRead).toBe(forward.length);
  });

  it("needs no more memory for more layers", () => {
    const { forward, values } = compiled();
    const firstLayer = forward.filter(({ out }) => !out.startsWith("layers.1."));
    expect(peakWidth(forward, values, ["hidden"])).toBe(peakWidth(firstLayer, values, ["hidden"]));
    const all = Object.values(values).reduce((sum, { width }) => sum + width, 0);
    expect(
      peakWidth(
        forward,
        values,
        forward.map(({ out }) => out),
      ),
    ).toBe(all);
  });
});
