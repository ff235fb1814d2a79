"""
Splits texts by random patterns with `tokenizers` (Oniguruma), and writes the pieces to test/fixtures/split-cases.json.

    python scripts/split-cases.py        # needs tokenizers 0.23.3
"""
import json
import os
import random
import re

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

OUT = os.path.join(os.path.dirname(__file__), "..", "test", "fixtures", "split-cases.json")
BEHAVIORS = {
    "isolated": "Isolated",
    "removed": "Removed",
    "merged_with_previous": "MergedWithPrevious",
    "merged_with_next": "MergedWithNext",
    "contiguous": "Contiguous",
}
CLASSES = [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"\h", r"\p{L}", r"\P{L}", r"\p{^N}", r"\p{Lu}", r"\p{P}", r"\p{M}"]
CLASSES += [r"\p{Han}", r"\p{Alpha}", r"\p{Punct}", r"\p{word}", r"\p{Letter}", r"\p{Greek}"]
IN_CLASSES = CLASSES + ["[:alpha:]", "[:^space:]", "[:punct:]", "[:word:]", "a-z", "à-ÿ", "一-龥", "[a-c]", "[^a]", "&&[^\\d]", "&&\\w"]
LITERALS = ["a", "b", "_", "é", "1", " ", "'", r"\n", r"\r", r"\t", r"\-", "-", "日", r"\.", ",", r"\x{e9}", r"\u0041", "#", "/"]
ANCHORS = [r"\b", r"\B", r"\b", r"\B", "^", "$", r"\A", r"\z", r"\Z"]
QUANTIFIERS = ["+", "*", "?", "{1,3}", "{2}", "{,2}", "{2,}", "+?", "*?", "++", "*+", "?+"]
GROUPS = ["(?:", "(", "(?=", "(?!", "(?<=", "(?<!", "(?>"]
FIXED = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\w+", r"(?i)a|[k-t]", r"c(?i)a|b", r"a{2}?", r"a{1,2}+", r"a{,}", r"a{1", r"\p{N}{1,3}+", "日?",
    r"[]a]+", r"[^]a]+", r"[-a]+", r"[a-c-]+", r"[+--]+", r"\w\b", r"[\w]+|\w", r".+", r"\n$", r"^\w", r"(?#a)b", r"[[a-z]&&[^aeiou]]+",
]  # fmt: skip
CHARACTERS = list("aAbBzkKsS019_- '.,!\n\r\téÉß日本²½$+#") + ["e\u0301", "ſ", "\u212a", "١", "Ⅷ", "ⓐ", "\u0345", "\u203f", "\u200d"]
CHARACTERS += ["\ufeff", "\x85", "\u2028", "\u3000", "\u00ad", "ि", "α", "ς", "あ", "😀", "𝔘", "İ"]


def character_class():
    items = "".join(random.choice(IN_CLASSES if random.random() < 0.6 else LITERALS) for _ in range(random.randint(1, 4)))
    return "[" + random.choice(["", "", "^"]) + items + "]"


def piece(depth):
    atom = random.choice(
        [
            lambda: random.choice(CLASSES),
            character_class,
            lambda: random.choice(LITERALS),
            lambda: random.choice(ANCHORS),
            lambda: random.choice(GROUPS) + alternatives(depth + 1) + ")" if depth < 2 else random.choice(CLASSES),
        ]
    )()
    can_repeat = atom not in ANCHORS and not re.match(r"\(\?<?[=!]", atom)
    return atom + random.choice(QUANTIFIERS) if can_repeat and random.random() < 0.4 else atom


def alternatives(depth=0):
    return "|".join("".join(piece(depth) for _ in range(random.randint(1, 3))) for _ in range(random.randint(1, 3)))


def main():
    random.seed(25)
    cases = []
    for number in range(520):
        pattern = FIXED[number] if number < len(FIXED) else alternatives()
        # Oniguruma sees assertions in alternatives of a lookbehind only in the shortest one.
        if re.search(r"\(\?<[=!].*(\\[bB]|\^|\$|\(\?)", pattern):
            continue
        behavior, invert = ("isolated", False) if number < len(FIXED) else (random.choice(list(BEHAVIORS)), random.random() < 0.3)
        try:
            split = Split(Regex(pattern), behavior, invert=invert)
        except Exception:  # not a pattern
            continue
        texts = ["".join(random.choices(CHARACTERS, k=random.randint(4, 16))) for _ in range(6)] + ["aabckS's"]
        pieces = [[text for text, _ in split.pre_tokenize_str(one)] for one in texts]
        cases.append({"pattern": pattern, "behavior": BEHAVIORS[behavior], "invert": invert, "texts": texts, "pieces": pieces})
    with open(OUT, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(len(cases), "cases")


main()
