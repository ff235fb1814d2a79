/** A value of a body or a chunk. */
type Json = Readonly<Record<string, unknown>>;

/** Two values of one key: texts and lists are joined, objects merged, and otherwise the later one counts unless it is null. */
function joined(first: unknown, second: unknown): unknown {
  if (first === undefined || first === null) return second;
  if (second === undefined || second === null) return first;
  if (typeof first === "string" && typeof second === "string") return first + second;
  if (Array.isArray(first) && Array.isArray(second)) return [...first, ...second];
  if (typeof first !== "object" || typeof second !== "object") return second;
  const keys = new Set([...Object.keys(first), ...Object.keys(second)]);
  return Object.fromEntries([...keys].map((key) => [key, joined((first as Json)[key], (second as Json)[key])]));
}

/** Parts of one list, each with the index of its entry. */
function byIndex(parts: readonly Json[]): Json[] {
  const found = new Map<unknown, Json>();
  for (const { index, ...part } of parts) found.set(index, joined(found.get(index) ?? {}, part) as Json);
  return [...found].sort(([a], [b]) => Number(a) - Number(b)).map(([index, part]) => ({ index, ...part }));
}

/** The choices of a body, from the chunks of a stream as a client puts them together. */
export function foldChunks(chunks: readonly unknown[]): Json[] {
  const choices = (chunks as readonly { readonly choices: readonly Json[] }[]).flatMap(({ choices }) => choices);
  return byIndex(choices).map(({ delta, ...choice }) => {
    if (delta === undefined) return choice;
    const { tool_calls: calls, ...message } = delta as { readonly tool_calls?: readonly Json[] };
    const whole = calls === undefined ? {} : { tool_calls: byIndex(calls).map(({ index: _, ...call }) => call) };
    return { ...choice, message: { ...message, ...whole } };
  });
}
