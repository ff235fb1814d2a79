import { byteLength } from "../../formats/tensor/tensor-type.ts";
import { type Operation, operationKinds, type RowSet, ShapeError, shapeRules } from "./operations.ts";
import { HEAD_INPUT, type Program, type Value } from "./program.ts";

type Fields<T> = Readonly<Record<string, T | undefined>>;

/**
 * Validates a program: every value is written once, before it is read, and on the rows that are read; every parameter
 * is in the table, with as many bytes as its shape requires, or equal to that of `shareWith`; all shapes fit. @throws
 * Error with the operation and the problem.
 */
export function validateProgram(program: Program, shareWith?: Program): void {
  const { parameters, forward, values, results, heads, mask, sizes } = program;
  for (const [id, parameter] of Object.entries(parameters)) {
    const { rows, cols, type, origin } = parameter;
    if (shareWith !== undefined && origin === "base") {
      const shared = shareWith.parameters[id];
      if (shared?.rows !== rows || shared.cols !== cols || shared.type !== type || shared.origin !== origin) {
        throw new Error(`parameter ${id} is not the one of the model that the weights are shared with`);
      }
      continue;
    }
    const { bytes } = parameter;
    const expected = byteLength(type, cols);
    if (expected === undefined) throw new Error(`parameter ${id}: rows of ${cols} are no whole blocks of ${type}`);
    if (bytes.byteLength !== rows * expected) {
      throw new Error(`parameter ${id}: has ${bytes.byteLength} bytes, expected ${rows * expected}`);
    }
  }
  const written = checkList(program, forward, values, new Set());
  const layers = forward.flatMap((operation) => (operation.kind === "attention" ? [operation.attributes.layer] : []));
  if (layers.length !== sizes.nLayers || layers.some((layer, i) => layer !== i)) {
    throw new Error(`attention counts its layers ${layers.join(", ")}, the program has ${sizes.nLayers}`);
  }
  for (const [name, id] of Object.entries(results)) {
    if (!written.has(id)) throw new Error(`the result ${name} is ${id}, which no operation writes`);
  }
  if ((mask === undefined) !== (results.maskLogits === undefined))
    throw new Error("MASK rows and their logits belong together");
  for (const head of [...(heads.sampler === undefined ? [] : [heads.sampler]), ...heads.extra]) {
    const ofHead = checkList(program, head.operations, head.values, new Set([HEAD_INPUT]));
    if (!ofHead.has(head.logits)) throw new Error(`a head's logits are ${head.logits}, which no operation writes`);
  }
}

/** Ids of the values written. */
function checkList(
  program: Program,
  operations: readonly Operation[],
  values: Readonly<Record<string, Value>>,
  written: Set<string>,
): ReadonlySet<string> {
  for (const operation of operations) {
    const fail = (problem: string): never => {
      throw new Error(`operation ${operation.kind} of ${operation.out}: ${problem}`);
    };
    const out = values[operation.out] ?? fail("its result is not declared");
    if (written.has(operation.out)) fail("its result is written a second time");
    if (out.rows !== operation.rows) fail(`runs on rows ${operation.rows}, its result is declared on rows ${out.rows}`);
    const description = operationKinds[operation.kind];
    checkNames(operation.inputs, description.inputs, fail);
    checkNames(operation.parameters, description.parameters, fail);
    checkNames(operation.attributes, description.attributes, fail);
    for (const [name, id] of Object.entries(operation.inputs)) {
      const value = values[id];
      if (value === undefined || !written.has(id)) fail(`${name} is ${id}, which nothing wrote before`);
      else if (!covers(value.rows, neededRows(operation, name))) fail(`${name} is ${id}, on rows ${value.rows} only`);
    }
    const width = resultWidth(operation, values, program.parameters);
    if (width !== out.width) fail(`its result is declared ${out.width} wide, and is ${width}`);
    written.add(operation.out);
  }
  return written;
}

function checkNames(given: Fields<unknown>, known: readonly string[], fail: (problem: string) => never): void {
  const unknown = Object.keys(given).find((name) => !known.includes(name) && !known.includes(`${name}?`));
  if (unknown !== undefined) fail(`${unknown} is not known`);
  const missing = known.find((name) => !name.endsWith("?") && given[name] === undefined);
  if (missing !== undefined) fail(`${missing} is missing`);
}

/** Rows that an input must have: the operation's own, except for kinds that read other rows. */
function neededRows({ kind, rows }: Operation, input: string): RowSet {
  if (kind === "enter") return "token";
  if (kind !== "join") return rows;
  const part = input === "token" ? "token" : "mask";
  return rows === "output" ? `output-${part}` : part;
}

const within: Readonly<Record<RowSet, readonly RowSet[]>> = {
  all: ["token", "mask", "output", "output-token", "output-mask"],
  token: ["output-token"],
  mask: ["output-mask"],
  output: ["output-token", "output-mask"],
  "output-token": [],
  "output-mask": [],
  head: [],
};

/** Whether every row of `inner` is one of `outer`. */
export function covers(outer: RowSet, inner: RowSet): boolean {
  return outer === inner || within[outer].includes(inner);
}

/**
 * Width of an operation's result, by the rule of its kind. @throws Error with the operation if shapes do not fit, or an
 * input or parameter is missing.
 */
export function resultWidth(
  operation: Operation,
  values: Readonly<Record<string, Value>>,
  parameters: Program["parameters"],
): number {
  const { kind, out } = operation;
  const found = <T>(ids: Fields<string>, of: (id: string) => T | undefined): Record<string, T> =>
    Object.fromEntries(
      Object.entries(ids).flatMap(([name, id]) => {
        if (id === undefined) return [];
        const entry = of(id);
        if (entry === undefined) throw new Error(`operation ${kind} of ${out}: ${name} is ${id}, which is not there`);
        return [[name, entry] as const];
      }),
    );
  const shapes = {
    inputs: found(operation.inputs, (id) => values[id]?.width),
    parameters: found(operation.parameters, (id) => parameters[id]),
    attributes: operation.attributes,
  };
  try {
    // The names were validated, and the types of the rules derive from them.
    const rule = shapeRules[kind] as (shapes: unknown) => number;
    return rule(shapes);
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    throw new Error(`operation ${kind} of ${out}: shapes do not fit: ${error.message}`);
  }
}

/**
 * Validates replacements of parameters. @throws Error with the parameter that is not trainable, has another size, or
 * has values that are not finite.
 */
export function checkReplacements({ parameters }: Program, values: ReadonlyMap<string, Float32Array>): void {
  for (const [id, floats] of values) {
    const parameter = parameters[id];
    if (parameter?.isTrainable !== true) throw new Error(`parameter ${id} is not trainable`);
    const expected = parameter.rows * parameter.cols;
    if (floats.length !== expected) throw new Error(`parameter ${id}: ${floats.length} values, expected ${expected}`);
    const index = floats.findIndex((value) => !Number.isFinite(value));
    if (index >= 0) throw new Error(`parameter ${id}: value ${index} is ${floats[index]}, expected a finite number`);
  }
}
