/** A number of a JSON text that JavaScript would change: 1.0, or an integer beyond 2^53. */
export class JsonNumber {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** As Python's json module reads it: a number with a fraction or an exponent is a float. */
  get value(): bigint | number {
    return /[.eE]/.test(this.#text) ? Number(this.#text) : BigInt(this.#text);
  }

  toJSON(): number {
    return Number(this.#text);
  }
}

const stringOrNumber = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

/** `JSON.parse`, with a `JsonNumber` for each number that would not stay what it is. @throws SyntaxError. */
export function parseExactJson(json: string): unknown {
  const value: unknown = JSON.parse(json);
  let isChanged = false;
  const marked = json.replace(stringOrNumber, (token) => {
    if (token.startsWith('"')) return `"s${token.slice(1)}`;
    const number = Number(token);
    const isSame = /[.eE]/.test(token) ? !Number.isInteger(number) : Number.isSafeInteger(number);
    if (isSame) return token;
    isChanged = true;
    return `"n${token}"`;
  });
  return isChanged ? unmarked(JSON.parse(marked)) : value;
}

function unmarked(value: unknown): unknown {
  if (typeof value === "string") return value.startsWith("n") ? new JsonNumber(value.slice(1)) : value.slice(1);
  if (Array.isArray(value)) return value.map(unmarked);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key.slice(1), unmarked(part)]));
}
