import type { ForwardResult } from "../../compute/loaded-model.ts";
import type { Proposed, ProposalRequest } from "../../compute/sampling/proposal.ts";
import type { Proposer } from "../proposers/proposer.ts";

/**
 * A computation that needs proposals to go on: it yields requests, all of a level of a tree, and resumes with their answers
 * in the same order. So the requests of many sequences become one call of the model.
 */
export type Proposing<T> = Generator<readonly ProposalRequest[], T, readonly Proposed[]>;

/** A place in a sequence's tree at which a proposer is to name candidates. */
export interface Query {
  readonly proposer: Proposer;
  /** Unverified tokens after the sequence's last verified one. */
  readonly path: readonly number[];
  readonly count: number;
}

/** The candidates of some queries. The model is asked once for all that proposers do not know by themselves. */
export function* candidatesOf(queries: readonly Query[]): Proposing<readonly Proposed[]> {
  const requests: ProposalRequest[] = [];
  const found = queries.map(({ proposer, path, count }) => {
    const candidates = proposer.candidates(path, count);
    if ("source" in candidates) requests.push(candidates);
    return candidates;
  });
  if (requests.length === 0) return found as readonly Proposed[];
  const answers = yield requests;
  let next = 0;
  return found.map((one) => ("source" in one ? (answers[next++] as Proposed) : one));
}

/** Of one query. */
export function* candidatesAt(proposer: Proposer, path: readonly number[], count: number): Proposing<Proposed> {
  const [proposed] = yield* candidatesOf([{ proposer, path, count }]);
  return proposed as Proposed;
}

/** One of the computations that run side by side. */
export interface ProposingTask {
  readonly proposing: Proposing<unknown>;
  /** The forward whose rows its requests are about. */
  readonly result: ForwardResult | undefined;
  /** Told what the computation threw. The others go on. */
  fail(error: unknown): void;
}

/** Runs computations side by side to their ends, with one call per level for all that ask the same forward. */
export async function proposeTogether(tasks: readonly ProposingTask[]): Promise<void> {
  let waiting = tasks.flatMap((task) => advance(task, undefined));
  while (waiting.length > 0) {
    const byResult = new Map<
      ForwardResult,
      { readonly task: ProposingTask; readonly requests: readonly ProposalRequest[] }[]
    >();
    for (const { task, requests } of waiting) {
      if (task.result === undefined) throw new Error("a sequence without a forward has requests for the model");
      const same = byResult.get(task.result);
      if (same === undefined) byResult.set(task.result, [{ task, requests }]);
      else same.push({ task, requests });
    }
    waiting = [];
    for (const [result, same] of byResult) {
      const answers = await result.propose(
        same.length === 1 ? (same[0]?.requests ?? []) : same.flatMap(({ requests }) => requests),
      );
      let next = 0;
      for (const { task, requests } of same) {
        waiting.push(...advance(task, answers.slice(next, next + requests.length)));
        next += requests.length;
      }
    }
  }
}

/** To the next requests; none where it ended. */
function advance(task: ProposingTask, answers: readonly Proposed[] | undefined) {
  try {
    const step = task.proposing.next(answers ?? []);
    return step.done ? [] : [{ task, requests: step.value }];
  } catch (error) {
    task.fail(error);
    return [];
  }
}
