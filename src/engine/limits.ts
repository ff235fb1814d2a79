/** Prompt tokens in one forward: enough to read each weight seldom, little enough to cancel soon. */
export const CHUNK_ROWS = 512;

/** Slots behind a context for rows that are not kept: a quadratic round of stride 8 has 64 rows. */
export const SCRATCH_SLOTS = 64;
