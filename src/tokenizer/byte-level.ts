/**
 * GPT-2's byte-level alphabet: every byte is represented by one printable character, so that a vocabulary of strings can
 * hold any bytes (openai/gpt-2, `bytes_to_unicode`).
 */
const charOfByte: string[] = [];
const byteOfChar = new Map<string, number>();

function isPrintable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

for (let byte = 0, shifted = 0; byte < 256; byte++) {
  const char = String.fromCharCode(isPrintable(byte) ? byte : 256 + shifted++);
  charOfByte.push(char);
  byteOfChar.set(char, byte);
}

/** The character that represents a byte. */
export function characterOfByte(byte: number): string {
  return charOfByte[byte] ?? "";
}

const encoder = new TextEncoder();

/** A text's UTF-8 bytes in the byte-level alphabet. Lone surrogates become U+FFFD. */
export function toByteLevel(text: string): string {
  let result = "";
  for (const byte of encoder.encode(text)) result += charOfByte[byte];
  return result;
}

/** The bytes of a token in the byte-level alphabet; undefined if a character is not in the alphabet. */
export function fromByteLevel(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfChar.get(token[i] as string);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
