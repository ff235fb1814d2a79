import {
  anyCharacter,
  type CharacterSet,
  charactersIn,
  charactersOf,
  difference,
  intersection,
} from "../characters.ts";
import { characters, choice, type Expression, empty, repeat, rule, sequence, text } from "../expression.ts";
import type { GrammarSize } from "../grammar-size.ts";
import { integerWithin, numberWithin } from "./numbers.ts";

/** What stands between the items, and between a key and its value: fixed, so that it can be proposed. */
export const COMMA = ", ";
export const COLON = ": ";

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};
const CONTROLS = charactersOf([[0, 0x1f]]);
const PLAIN = difference(anyCharacter, [...charactersIn('"\\'), ...CONTROLS]);

const hexadecimal = characters(
  charactersOf([
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ]),
);
const notD = characters(
  charactersOf([
    [0x30, 0x39],
    [0x41, 0x43],
    [0x45, 0x46],
    [0x61, 0x63],
    [0x65, 0x66],
  ]),
);

/** Any character of a string; no halves of a surrogate pair, so that each is one character of the value. */
export const anyStringCharacter: Expression = choice(
  characters(PLAIN),
  sequence(
    text("\\"),
    choice(
      characters(charactersIn('"\\/bfnrt')),
      sequence(
        text("u"),
        choice(
          sequence(notD, repeat(hexadecimal, 3, 3)),
          sequence(characters(charactersIn("dD")), characters(charactersOf([[0x30, 0x37]])), repeat(hexadecimal, 2, 2)),
        ),
      ),
    ),
  ),
);

const stringCharacters = new WeakMap<CharacterSet, Expression>([[anyCharacter, anyStringCharacter]]);

/** A character of a set, as it is written in a string. The same for the same set. */
export function stringCharacter(set: CharacterSet): Expression {
  const known = stringCharacters.get(set);
  if (known !== undefined) return known;
  const parts: Expression[] = [];
  const plain = intersection(set, PLAIN);
  if (plain.length > 0) parts.push(characters(plain));
  for (const [first, last] of difference(set, PLAIN)) {
    for (let code = first; code <= last; code++) parts.push(text(escaped(String.fromCharCode(code))));
  }
  const found = choice(...parts);
  stringCharacters.set(set, found);
  return found;
}

function escaped(character: string): string {
  return ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

export function quoted(body: Expression): Expression {
  return sequence(text('"'), body, text('"'));
}

export const anyString: Expression = rule("json string");

/** A value as JSON text with our separators. */
export function jsonText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jsonText).join(COMMA)}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}${COLON}${jsonText(member)}`);
  return `{${members.join(COMMA)}}`;
}

/** Items with commas between them, as many as allowed. */
export function list(item: Expression, min: number, max: number | undefined): Expression {
  if (max === 0) return empty;
  const maxRest = max === undefined ? undefined : max - 1;
  const items = sequence(item, repeat(sequence(text(COMMA), item), Math.max(0, min - 1), maxRest));
  return min === 0 ? choice(empty, items) : items;
}

/** Names of the rules of `valueRules`. */
export const ANY_VALUE = "json value";
export const ANY_OBJECT = "json object";
export const ANY_ARRAY = "json array";
export const ANY_NUMBER = "json number";
export const ANY_INTEGER = "json integer";

/** Rules of any JSON value. */
export const valueRules: ReadonlyMap<string, Expression> = new Map([
  ["json string", quoted(repeat(anyStringCharacter, 0, undefined))],
  [
    ANY_VALUE,
    choice(
      ...[rule(ANY_OBJECT), rule(ANY_ARRAY), anyString, rule(ANY_NUMBER)],
      ...[text("true"), text("false"), text("null")],
    ),
  ],
  [ANY_NUMBER, numberWithin({ min: undefined, max: undefined }) ?? empty],
  [ANY_INTEGER, integerWithin({ min: undefined, max: undefined }) ?? empty],
  [ANY_OBJECT, sequence(text("{"), list(sequence(anyString, text(COLON), rule(ANY_VALUE)), 0, undefined), text("}"))],
  [ANY_ARRAY, sequence(text("["), list(rule(ANY_VALUE), 0, undefined), text("]"))],
]);

/** A string that is none of these, written without escapes. @throws IdlmError "usage" if they are too long together. */
export function stringExcept(names: readonly string[], size: GrammarSize): Expression {
  const root = new TrieNode();
  for (const name of names) {
    let node = root;
    for (const character of name) {
      size.addParts(PLACE_SIZE);
      node = node.child(character);
    }
    node.isExcluded = true;
  }
  return quoted(restOf(root));
}

/** Parts of a string that may differ at a place from a name, about. */
const PLACE_SIZE = 8;

class TrieNode {
  readonly children = new Map<string, TrieNode>();
  isExcluded = false;

  child(character: string): TrieNode {
    let found = this.children.get(character);
    if (found === undefined) {
      found = new TrieNode();
      this.children.set(character, found);
    }
    return found;
  }
}

const plainCharacters = repeat(characters(PLAIN), 0, undefined);

function restOf(node: TrieNode): Expression {
  const others = difference(PLAIN, charactersIn([...node.children.keys()].join("")));
  const parts: Expression[] = [sequence(characters(others), plainCharacters)];
  if (!node.isExcluded) parts.push(empty);
  for (const [character, child] of node.children) {
    if (intersection(charactersIn(character), PLAIN).length > 0) parts.push(sequence(text(character), restOf(child)));
  }
  return choice(...parts);
}
