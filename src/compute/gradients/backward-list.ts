import { type Operation, type OperationKind, operationKinds } from "../program/operations.ts";

/** Gradient of one operation: from that of its result to those of some of its inputs and parameters. */
export type BackwardOperation<K extends OperationKind = OperationKind> = {
  [Kind in K]: {
    readonly kind: Kind;
    readonly forward: Operation<Kind>;
    /** Names of inputs and parameters whose gradients it accumulates. */
    readonly wanted: ReadonlySet<string>;
  };
}[K];

/** What to differentiate. */
export interface Differentiated {
  /** Values whose gradients are given. */
  readonly seeds: Iterable<string>;
  /** Whether the gradient of a parameter is required, by id. */
  readonly isTrainable: (parameter: string) => boolean;
  /** Inputs of the list (values that no operation writes) whose gradients are required. */
  readonly inputs?: Iterable<string>;
}

/**
 * The gradients of a list of operations, in the order of computation (reverse mode). Includes only operations between a
 * trainable parameter (or input) and a seed.
 */
export function backwardList(
  operations: readonly Operation[],
  { seeds, isTrainable, inputs = [] }: Differentiated,
): readonly BackwardOperation[] {
  const wanted = operations.map(() => new Set<string>());
  const depending = new Set(inputs);
  operations.forEach((operation, at) => {
    const names: readonly string[] = operationKinds[operation.kind].gradients;
    for (const name of names) {
      const value = idOf(operation.inputs, name);
      const parameter = idOf(operation.parameters, name);
      const depends = value === undefined ? parameter !== undefined && isTrainable(parameter) : depending.has(value);
      if (depends) wanted[at]?.add(name);
    }
    if ((wanted[at]?.size ?? 0) > 0) depending.add(operation.out);
  });
  const reached = new Set([...seeds].filter((value) => depending.has(value)));
  const list: BackwardOperation[] = [];
  for (let at = operations.length - 1; at >= 0; at--) {
    const forward = operations[at] as Operation;
    const needed = wanted[at] as Set<string>;
    if (!reached.has(forward.out) || needed.size === 0) continue;
    for (const [name, value] of Object.entries(forward.inputs)) if (needed.has(name)) reached.add(value);
    list.push({ kind: forward.kind, forward, wanted: needed } as BackwardOperation);
  }
  return list;
}

function idOf(ids: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  return ids[name];
}
