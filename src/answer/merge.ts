/** Values of several sources as they come, with the index of their source. A source is asked for one value at a time. */
export async function* merge<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<readonly [number, T]> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  const ready: { readonly index: number; readonly next: Promise<IteratorResult<T>> }[] = [];
  let wake = () => {};
  const advance = (index: number) => {
    const next = (iterators[index] as AsyncIterator<T>).next();
    const arrived = () => {
      ready.push({ index, next });
      wake();
    };
    next.then(arrived, arrived);
  };
  let nOpen = iterators.length;
  try {
    for (const index of iterators.keys()) advance(index);
    while (nOpen > 0) {
      const first = ready.shift();
      if (first === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      const step = await first.next;
      if (step.done === true) {
        nOpen--;
        continue;
      }
      yield [first.index, step.value];
      advance(first.index);
    }
  } finally {
    for (const iterator of iterators) void iterator.return?.().catch(() => {});
  }
}
