/** Turns tokens into text one by one, never emitting half a character. */
export interface StreamDecoder {
  /** The text that a token adds; "" while a character is incomplete. */
  push(id: number): string;
  /** What the end adds: U+FFFD for a character that was never completed. */
  flush(): string;
}

/** Bytes of tokens through the WHATWG decoder. A byte order mark is text like any other. */
export function createStreamDecoder(bytesOf: (id: number) => Uint8Array | undefined): StreamDecoder {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    push: (id) => decoder.decode(bytesOf(id) ?? new Uint8Array(), { stream: true }),
    flush: () => decoder.decode(),
  };
}
