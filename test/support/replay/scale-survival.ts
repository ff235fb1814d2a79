import { randomFrom } from "./simulation.ts";
import type { MaskNode, RecordedGeneration } from "./trace.ts";

/**
 * Generations whose MASK runs are right to these shares in their first tokens, by depth, on chat. Other kinds get the same
 * factors of their odds. A node that becomes right, or wrong, takes the confidences of a randomly chosen node of its depth that
 * was.
 */
export function scaleSurvival(
  generations: readonly RecordedGeneration[],
  survival: readonly number[],
  seed: number,
): RecordedGeneration[] {
  const random = randomFrom(seed);
  const chat = generations.filter(({ kind }) => kind === "chat");
  const factors = survival.map(
    (share, depth) => odds(share / (survival[depth - 1] ?? 1)) / odds(shareAfterHits(chat, depth)),
  );
  const donors = survival.map((_, depth) => {
    const all = generations.flatMap((generation) => nodesAlong(generation, depth));
    return { right: all.filter(({ rank }) => rank === 0), wrong: all.filter(({ rank }) => rank !== 0) };
  });
  const kinds = new Map(
    [...new Set(generations.map(({ kind }) => kind))].map((kind) => {
      const same = generations.filter((generation) => generation.kind === kind);
      return [kind, survival.map((_, depth) => shareAfterHits(same, depth))] as const;
    }),
  );
  const scaled = (node: MaskNode, truths: readonly number[], shares: readonly number[], depth: number): MaskNode => {
    const truth = truths[depth];
    const share = shares[depth];
    if (truth === undefined || share === undefined) return node;
    const next = childAlong(node, truth);
    const below = next === undefined ? undefined : scaled(next, truths, shares, depth + 1);
    const rank = node.tokens.indexOf(truth);
    const wanted = shareOf(odds(share) * (factors[depth] ?? 1));
    const flips = rank === 0 ? random() > wanted / share : random() < (wanted - share) / (1 - share);
    const from = rank === 0 ? donors[depth]?.wrong : donors[depth]?.right;
    const donor = flips && from !== undefined ? from[Math.floor(random() * from.length)] : undefined;
    if (donor === undefined) return arranged(node, { token: truth, next: below }, rank, node.confidences);
    return arranged(node, { token: truth, next: below }, donor.rank, donor.node.confidences);
  };
  return generations.map((generation) => {
    const shares = kinds.get(generation.kind) ?? [];
    const { output, masks } = generation;
    return { ...generation, masks: masks.map((root, i) => scaled(root, output.slice(i + 1), shares, 0)) };
  });
}

/** Shares of MASK runs whose first tokens are right, by depth. */
export function survivalOf(generations: readonly RecordedGeneration[], depth: number): number[] {
  const all = survivors(generations, 0);
  return Array.from({ length: depth }, (_, i) => survivors(generations, i + 1) / all);
}

/** The node with the text's token at `rank`; -1: not among the candidates. */
function arranged(
  { tokens, next }: MaskNode,
  text: { readonly token: number; readonly next: MaskNode | undefined },
  rank: number,
  confidences: readonly number[],
): MaskNode {
  const others = tokens.map((token, i) => ({ token, next: next[i] })).filter(({ token }) => token !== text.token);
  // A wrong token in place of the text's.
  while (others.length < confidences.length) others.push({ token: -2 - others.length, next: others[0]?.next });
  const kept = others.slice(0, rank < 0 ? confidences.length : confidences.length - 1);
  if (rank >= 0) kept.splice(rank, 0, text);
  const following = [...kept.map((one) => one.next), ...(rank < 0 ? [text.next] : [])];
  return {
    ...{ tokens: kept.map(({ token }) => token), confidences },
    next: following.filter((one) => one !== undefined),
  };
}

/** What follows a token of the text. */
function childAlong({ tokens, next }: MaskNode, truth: number): MaskNode | undefined {
  const at = tokens.indexOf(truth);
  return next[at < 0 ? tokens.length : at];
}

/** Nodes of this depth along the text, with the rank of the text's token. */
function nodesAlong({ output, masks }: RecordedGeneration, depth: number) {
  const found: { readonly node: MaskNode; readonly rank: number }[] = [];
  for (const [i, root] of masks.entries()) {
    let node: MaskNode | undefined = root;
    for (let level = 0; level < depth; level++) node = node && childAlong(node, output[i + 1 + level] ?? -1);
    const truth = output[i + 1 + depth];
    if (node !== undefined && truth !== undefined) found.push({ node, rank: node.tokens.indexOf(truth) });
  }
  return found;
}

/** Share of MASK runs that are right at a depth, of those that are right before it. */
function shareAfterHits(generations: readonly RecordedGeneration[], depth: number): number {
  const share = survivors(generations, depth + 1) / Math.max(1, survivors(generations, depth));
  return Math.min(0.99, Math.max(0.01, share));
}

/** MASK runs whose first `depth` tokens are right, of those that have one more. */
function survivors(generations: readonly RecordedGeneration[], depth: number): number {
  let n = 0;
  for (const { output, masks } of generations) {
    for (const [i, root] of masks.entries()) {
      let node: MaskNode | undefined = root;
      for (let level = 0; level < depth; level++) {
        const truth = output[i + 1 + level];
        node = node?.tokens[0] === truth && truth !== undefined ? (node?.next[0] ?? node) : undefined;
      }
      if (node !== undefined) n++;
    }
  }
  return n;
}

function odds(share: number): number {
  return share / (1 - share);
}

function shareOf(odd: number): number {
  return odd / (1 + odd);
}
