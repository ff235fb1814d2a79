import type { ForwardResult } from "../../compute/loaded-model.ts";
import type { Proposed, ProposalRequest } from "../../compute/sampling/proposal.ts";
import type { Proposer } from "../proposers/proposer.ts";

/**
 * A computation that requests proposals from the model: it yields the requests of a level of a tree and resumes with
 * the answers in the same order. The requests of many sequences are answered by one call of the model.
 */
export type Proposing<T> = Generator<readonly ProposalRequest[], T, readonly Proposed[]>;

/** A request for candidates of one proposer at one place of a tree. */
export interface Query {
  readonly proposer: Proposer;
  /** Unverified tokens since the last verified one. */
  readonly path: readonly number[];
  readonly count: number;
}

/** Candidates for these queries, with one request to the model for all proposers that need it. */
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

/** Candidates for one query. */
export function* candidatesAt(proposer: Proposer, path: readonly number[], count: number): Proposing<Proposed> {
  const [proposed] = yield* candidatesOf([{ proposer, path, count }]);
  return proposed as Proposed;
}

/** A computation that runs alongside others. */
export interface ProposingTask {
  readonly proposing: Proposing<unknown>;
  /** The forward that its requests refer to. */
  readonly result: ForwardResult | undefined;
  /** Called with an error of this computation; the others continue. */
  fail(error: unknown): void;
}

/** Runs computations concurrently, with one model call per level and forward. */
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

/** Runs a computation up to its next requests; empty if it ended. */
function advance(task: ProposingTask, answers: readonly Proposed[] | undefined) {
  try {
    const step = task.proposing.next(answers ?? []);
    return step.done ? [] : [{ task, requests: step.value }];
  } catch (error) {
    task.fail(error);
    return [];
  }
}
