/** Prompt tokens in one forward: enough to read each weight seldom, little enough to cancel soon. */
export const CHUNK_ROWS = 512;

/**
 * Rows of one sequence's round, its pending token included, and slots behind a context for those that are not kept: a
 * quadratic round of stride 8 has 64.
 */
export const MAX_ROUND_ROWS = 64;
