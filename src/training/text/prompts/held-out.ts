import { createHash } from "node:crypto";

/** One of so many groups is held out. */
const HELD_OUT_OF = 40;

/**
 * The groups that nothing is trained on: a 40th of them, at least one where there are several. It depends on the groups
 * alone, so that texts of different seeds hold out the same.
 */
export function heldOutGroups(groups: Iterable<string>): ReadonlySet<string> {
  const all = [...new Set(groups)];
  const ranked = all.map((group) => ({ group, rank: rankOf(group) })).sort((a, b) => a.rank - b.rank);
  const n = all.length < 2 ? 0 : Math.ceil(all.length / HELD_OUT_OF);
  return new Set(ranked.slice(0, n).map(({ group }) => group));
}

/** Whether a group is held out where they are not known beforehand. */
export function isHeldOut(group: string): boolean {
  return rankOf(group) < 2 ** 48 / HELD_OUT_OF;
}

/** 48 bits. */
function rankOf(group: string): number {
  return createHash("sha256").update(group).digest().readUIntBE(0, 6);
}
