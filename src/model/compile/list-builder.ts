import type { Operation, OperationKind, RowSet } from "../../compute/program/operations.ts";
import type { Parameter, Value } from "../../compute/program/program.ts";
import { resultWidth } from "../../compute/program/validate-program.ts";

/** Builds a list of operations and the values that they write. */
export class ListBuilder {
  readonly operations: Operation[] = [];
  readonly values: Record<string, Value> = {};
  readonly #parameters: Readonly<Record<string, Parameter>>;

  constructor(parameters: Readonly<Record<string, Parameter>>, inputs: Readonly<Record<string, Value>> = {}) {
    this.#parameters = parameters;
    Object.assign(this.values, inputs);
  }

  /** Adds an operation; the width of its result follows from its kind. Returns the id of the result. */
  add<K extends OperationKind>(
    kind: K,
    rows: RowSet,
    out: string,
    inputs: Operation<K>["inputs"],
    parameters: Operation<K>["parameters"],
    attributes: Operation<K>["attributes"],
  ): string {
    const operation = { kind, rows, inputs, parameters, attributes, out } as Operation;
    this.values[out] = { width: resultWidth(operation, this.values, this.#parameters), rows };
    this.operations.push(operation);
    return out;
  }
}
