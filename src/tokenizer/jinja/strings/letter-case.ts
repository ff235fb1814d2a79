/** Upper, lower and title case as Python's str has them, with Unicode's special cases. */

const cased = /\p{Cased}/u;
const caseIgnorable = /\p{Case_Ignorable}/u;
const uppercase = /\p{Uppercase}/u;
const lowercase = /\p{Lowercase}/u;
const titlecase = /\p{Lt}/u;
/** Each group in upper, title and lower case. */
const digraphs = ["ǄǅǆǇǈǉǊǋǌǱǲǳ"].flatMap((all) => all.match(/.../g) ?? []);
const IOTA_SUBSCRIPT = "\u0345";

export function lower(text: string): string {
  return text.toLowerCase();
}

/** The lower case of one character of a text: a sigma that ends a word has a form of its own. */
function lowerAt(text: readonly string[], at: number): string {
  const character = text[at] as string;
  if (character !== "Σ") return character.toLowerCase();
  const seesLetter = (step: 1 | -1) => {
    let i = at + step;
    while (caseIgnorable.test(text[i] ?? "")) i += step;
    return cased.test(text[i] ?? "");
  };
  return seesLetter(-1) && !seesLetter(1) ? "ς" : "σ";
}

function titleCase(character: string): string {
  const digraph = digraphs.find((group) => group.includes(character));
  if (digraph !== undefined) return digraph[1] as string;
  // Georgian letters and ŉ: only whole words have capitals.
  if (/[\u10d0-\u10fa\u10fd-\u10ff]/.test(character)) return character;
  const upper = character.toUpperCase();
  const [first = "", ...rest] = Array.from(upper);
  if (rest.length === 0 || character === "ŉ") return upper;
  if (rest.at(-1) !== "Ι") return first + rest.join("").toLowerCase();
  const subscript = upper.slice(0, -1) + IOTA_SUBSCRIPT;
  return rest.length === 1 ? subscript.normalize("NFC") : subscript;
}

/** `str.capitalize` */
export function capitalize(text: string): string {
  const all = Array.from(text);
  return all.map((character, i) => (i === 0 ? titleCase(character) : lowerAt(all, i))).join("");
}

/** `str.title`: a letter after anything but a letter begins a word. */
export function title(text: string): string {
  const all = Array.from(text);
  return all.map((character, i) => (cased.test(all[i - 1] ?? "") ? lowerAt(all, i) : titleCase(character))).join("");
}

/** `str.swapcase` */
export function swapCase(text: string): string {
  const all = Array.from(text);
  return all
    .map((character, i) => {
      if (uppercase.test(character)) return lowerAt(all, i);
      return lowercase.test(character) ? character.toUpperCase() : character;
    })
    .join("");
}

/** `str.casefold` */
export function caseFold(text: string): string {
  return Array.from(text, (character) => {
    if (character === "ı") return character;
    const isCherokee = /[\u13a0-\u13fd\uab70-\uabbf]/.test(character);
    if (isCherokee) return character.toUpperCase();
    return Array.from(character.toLowerCase().toUpperCase(), (part) => part.toLowerCase()).join("");
  }).join("");
}

/** `str.istitle` */
export function isTitle(text: string): boolean {
  let isInWord = false;
  let isFound = false;
  for (const character of text) {
    if (uppercase.test(character) || titlecase.test(character)) {
      if (isInWord) return false;
      isInWord = true;
      isFound = true;
    } else if (lowercase.test(character)) {
      if (!isInWord) return false;
      isFound = true;
    } else isInWord = false;
  }
  return isFound;
}

/** `str.islower` */
export function isLower(text: string): boolean {
  return lowercase.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text);
}

/** `str.isupper` */
export function isUpper(text: string): boolean {
  return uppercase.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text);
}
