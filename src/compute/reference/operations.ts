import type { BackwardOperation } from "../gradients/backward-list.ts";
import type { Operation, OperationKind } from "../program/operations.ts";
import type { GradientRun, ReferenceOperations, Run } from "./operation.ts";
import { attentionOperations } from "./operations/attention.ts";
import { elementwiseOperations } from "./operations/elementwise.ts";
import { productsOperations } from "./operations/products.ts";
import { rowsOperations } from "./operations/rows.ts";

const operations: ReferenceOperations<OperationKind> = {
  ...rowsOperations,
  ...productsOperations,
  ...attentionOperations,
  ...elementwiseOperations,
};

/** Runs a list in order. */
export function runList(list: readonly Operation[], run: Run): void {
  for (const operation of list) forward(operation, run);
}

/** Runs a backward list in order. */
export function runBackward(list: readonly BackwardOperation[], run: GradientRun): void {
  for (const operation of list) gradient(operation, run);
}

function forward<K extends OperationKind>(operation: Operation<K>, run: Run): void {
  const { kind } = operation as { readonly kind: K };
  operations[kind].forward(operation, run);
}

function gradient<K extends OperationKind>(operation: BackwardOperation<K>, run: GradientRun): void {
  const { kind } = operation as { readonly kind: K };
  operations[kind].gradient(operation, run);
}
