import type { Generation, GenerationPart, GenerationResult } from "./types.ts";

/** Where a running generation puts its parts, and how it learns that nobody wants more. */
export interface GenerationSink {
  emit(part: GenerationPart): void;
  readonly signal: AbortSignal;
}

/**
 * Starts a generation that runs to its end whether or not it is read. Leaving the iteration early, or one of `signals`,
 * cancels it.
 */
export function startGeneration(
  run: (sink: GenerationSink) => Promise<GenerationResult>,
  signals: readonly AbortSignal[],
): Generation {
  const controller = new AbortController();
  const cancel = () => controller.abort();
  if (signals.some((signal) => signal.aborted)) cancel();
  for (const signal of signals) signal.addEventListener("abort", cancel, { once: true });

  const parts: GenerationPart[] = [];
  let isDone = false;
  let wake = () => {};
  const emit = (part: GenerationPart) => {
    parts.push(part);
    wake();
  };
  const result = run({ emit, signal: controller.signal }).finally(() => {
    isDone = true;
    for (const signal of signals) signal.removeEventListener("abort", cancel);
    wake();
  });
  // Whoever reads only the parts gets the error from there.
  result.catch(() => {});

  let isRead = false;
  return {
    result,
    async *[Symbol.asyncIterator]() {
      if (isRead) throw new TypeError("a generation can be iterated once");
      isRead = true;
      try {
        while (true) {
          const part = parts.shift();
          if (part !== undefined) yield part;
          else if (isDone) break;
          else {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        }
        await result;
      } finally {
        controller.abort();
      }
    },
  };
}
