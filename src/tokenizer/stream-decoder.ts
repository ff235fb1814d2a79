/** Decodes tokens to text one by one, and never emits a partial character. */
export interface StreamDecoder {
  /** The text that a token completes; "" while a character is incomplete. */
  push(id: number): string;
  /** The rest at the end: U+FFFD for an incomplete character. */
  flush(): string;
}

/** Decodes the tokens' bytes with the WHATWG decoder. A byte order mark is kept as text. */
export function createStreamDecoder(bytesOf: (id: number) => Uint8Array | undefined): StreamDecoder {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    push: (id) => decoder.decode(bytesOf(id) ?? new Uint8Array(), { stream: true }),
    flush: () => decoder.decode(),
  };
}
