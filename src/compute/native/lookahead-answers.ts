import type { Lookahead, SamplingRequests } from "../loaded-model.ts";
import type { Proposed, ProposalRequest } from "../sampling/proposal.ts";
import type { Sampler } from "../sampling/sampler.ts";
import type { PackedProposals } from "./binding.ts";
import { ProposalReader } from "./requests.ts";

/** Proposals at a node of the tree, and its children. */
interface Node {
  readonly proposed: Proposed;
  /** By token. */
  readonly children: Map<number, Node>;
}

/** A tree of proposals below the last accepted token. */
interface Tree {
  readonly lookahead: Lookahead;
  readonly sampler: Sampler | undefined;
  /** First row of the run, or the heads' row. */
  readonly row: number;
  /** The token drawn there. */
  readonly next: number;
  readonly root: Node;
}

/** Looks up requests among the proposals that a forward made ahead. */
export class LookaheadAnswers {
  readonly #trees: Tree[] = [];

  constructor({ draws, lookaheads = [] }: SamplingRequests, found: PackedProposals | undefined) {
    if (found === undefined) return;
    const reader = new ProposalReader(found);
    for (const lookahead of lookaheads) {
      const nNodes = reader.number();
      const row = reader.number();
      const next = reader.number();
      const nodes: Node[] = [];
      for (let i = 0; i < nNodes; i++) {
        const parent = nodes[reader.number()];
        const rank = reader.number();
        const node = { proposed: reader.proposed(), children: new Map<number, Node>() };
        nodes.push(node);
        parent?.children.set(parent.proposed.tokens[rank] as number, node);
      }
      const [root] = nodes;
      if (root !== undefined)
        this.#trees.push({ lookahead, sampler: draws[lookahead.firstDraw]?.sampler, row, next, root });
    }
  }

  /** The answer to a request; undefined if it was not made ahead. */
  find({ source, sampler, unverified, count, proposeFor, allowed }: ProposalRequest): Proposed | undefined {
    if (source.kind === "token" || allowed !== undefined) return undefined;
    for (const { lookahead, sampler: treeSampler, row, next, root } of this.#trees) {
      if (lookahead.kind !== source.kind || lookahead.proposeFor !== proposeFor || lookahead.count < count) continue;
      if (treeSampler !== sampler || source.row !== (source.kind === "mask" ? row + unverified.length : row)) continue;
      if (source.kind === "mask" && source.previous !== (unverified.at(-1) ?? next)) continue;
      let node: Node | undefined = root;
      for (const token of unverified) node = node?.children.get(token);
      if (node !== undefined) return atMost(count, node.proposed);
    }
    return undefined;
  }
}

function atMost(count: number, proposed: Proposed): Proposed {
  const { tokens, confidences, from } = proposed;
  if (count >= tokens.length) return proposed;
  const first = { tokens: tokens.subarray(0, count), confidences: confidences.subarray(0, count) };
  return from === undefined ? first : { ...first, from };
}
