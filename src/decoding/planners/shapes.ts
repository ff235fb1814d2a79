import type { SequenceAcceptance } from "../controller/acceptance-model.ts";
import type { RoundPlanner } from "../controller/round-planner.ts";
import { AutoPlanner } from "./auto-planner.ts";
import { FixedPlanner, type Planner } from "./planner.ts";
import { StaticTreePlanner } from "./static-tree-planner.ts";
import { TreePlanner } from "./tree-planner.ts";

/** Most tokens of a round. */
export const MAX_STRIDE = 8;

/** Alternatives per anchor. */
const WIDTH = 3;

/** What a planner of one sequence is created from. */
export interface PlannerParts {
  /** Most tokens of a round. */
  readonly stride: number;
  /** Whether verification is exact. In the other modes the output depends on the rounds, so these must be fixed. */
  readonly isExact: boolean;
  /** Acceptance rates of the sequence. */
  readonly acceptance: () => SequenceAcceptance;
  /** Chooses the rows of all sequences together. */
  readonly rounds: RoundPlanner;
}

interface ShapeEntry {
  /** The rows of a round, as a phrase of Markdown. */
  readonly description: string;
  /** The stride if a request has none. */
  readonly defaultStride: number;
  /** Whether it differs from a chain only if there are MASK rows. */
  readonly needsMaskRows: boolean;
  /** Whether each round has the shape and stride that were requested. Such shapes can be compared by stride. */
  readonly isFixed: boolean;
  /** Whether it requires exact verification: another shape is used in the other modes. */
  readonly isExactOnly: boolean;
  readonly create: (parts: PlannerParts) => Planner;
}

/**
 * All shapes of rounds. The values of `shape`, the options and the tables of the documentation are derived from this table.
 */
export const shapes = {
  chain: {
    description:
      "a chain of proposals, and a MASK run below the last one (arXiv 2604.11035, section 4). After a rejection there is no MASK run to propose from, so the next round starts cold",
    // Proposals of prompt lookup beyond it are seldom accepted.
    defaultStride: 4,
    needsMaskRows: false,
    isFixed: true,
    isExactOnly: false,
    create: ({ stride }) => new FixedPlanner("chain", stride),
  },
  quadratic: {
    description:
      "a chain with a MASK run below every proposal and below the pending token (arXiv 2507.11851): no cold starts, at the cost of more rows",
    // One proposal with two MASK runs: the fastest fixed round with the catalogue's adapter (docs/results.md).
    defaultStride: 2,
    needsMaskRows: true,
    isFixed: true,
    isExactOnly: false,
    create: ({ stride }) => new FixedPlanner("quadratic", stride),
  },
  tree: {
    description:
      "alternatives at each depth, chosen to maximise the expected number of accepted tokens for the number of rows, given the measured acceptance (as in arXiv 2402.12374 and 2406.16858). Above temperature 0 the alternatives are the best ones under the same noise that verification samples with",
    defaultStride: 4,
    needsMaskRows: false,
    isFixed: true,
    isExactOnly: false,
    create: ({ stride, isExact, acceptance }) =>
      isExact
        ? new TreePlanner({ acceptance: acceptance(), stride, width: WIDTH, ...treeRows(stride) })
        : new StaticTreePlanner({ stride, ...treeRows(stride) }),
  },
  auto: {
    description: "chosen for each round by the controller, see below",
    defaultStride: MAX_STRIDE,
    needsMaskRows: false,
    isFixed: false,
    isExactOnly: true,
    create: ({ stride, acceptance, rounds }) => new AutoPlanner(rounds, acceptance(), { stride, width: WIDTH }),
  },
} as const satisfies Readonly<Record<string, ShapeEntry>>;

export type Shape = keyof typeof shapes;

export const shapeNames = Object.keys(shapes) as Shape[];

/** The shape of a request: exact-only ones are replaced in the other modes. */
export function permittedShape(shape: Shape, isExact: boolean, usesMasks: boolean): Shape {
  if (isExact || !shapes[shape].isExactOnly) return shape;
  return usesMasks ? "quadratic" : "chain";
}

/** Rows of a tree by its stride: as many MASK rows as a quadratic round, twice its proposals. */
function treeRows(stride: number): { readonly maxProposals: number; readonly maxMaskRows: number } {
  return { maxProposals: 2 * (stride - 1), maxMaskRows: stride * (stride - 1) };
}
