/** Rows of one forward: enough to read each weight seldom, little enough to cancel soon. */
export const MAX_FORWARD_ROWS = 512;

/** Prompt tokens in a forward that decodes others, too: what it adds to their time between tokens. */
export const CHUNK_BESIDE_DECODING = 64;

/** Rows of rounds in one forward: each has logits, a vocabulary of numbers. */
export const MAX_ROUND_ROWS_TOGETHER = 256;

/**
 * Rows of one sequence's round, its pending token included, and slots behind a context for those that are not kept: a
 * quadratic round of stride 8 has 64.
 */
export const MAX_ROUND_ROWS = 64;

/** Sequences that run at once where nobody says otherwise; beyond it a CPU has no row left that is cheap. */
export const DEFAULT_SEQUENCES = 16;

/** As many as may be asked for. */
export const MAX_SEQUENCES = 256;

/** Requests that wait where nobody says otherwise. */
export const DEFAULT_QUEUE = 1024;

/** Answers to one request: as many as the OpenAI API allows. */
export const MAX_CHOICES = 128;

/** How far relaxed verification goes where nobody says. */
export const DEFAULT_TAU = 0.5;
