/** Most rows of a forward: enough to amortise reading the weights, few enough to cancel quickly. */
export const MAX_FORWARD_ROWS = 512;

/**
 * Prompt tokens in a forward that also decodes other sequences: limits what prefill adds to their inter-token latency.
 */
export const PREFILL_CHUNK_WHILE_DECODING = 64;

/** Most rows of rounds in a forward. Each needs logits of the whole vocabulary. */
export const MAX_BATCH_ROUND_ROWS = 256;

/**
 * Most rows of a sequence's round, pending token included, and KV slots beyond the context for rows that are not kept.
 * A quadratic round of stride 8 has 64.
 */
export const MAX_ROUND_ROWS = 64;

/** Default concurrent sequences: beyond about 16 rows a CPU is compute-bound. */
export const DEFAULT_SEQUENCES = 16;

export const MAX_SEQUENCES = 256;

/** Default limit of waiting requests. */
export const DEFAULT_QUEUE = 1024;

/** Most completions per request, as in the OpenAI API. */
export const MAX_CHOICES = 128;

/** Default tau of relaxed verification. */
export const DEFAULT_TAU = 0.5;
