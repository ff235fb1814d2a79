"""
Encodes texts with `tokenizers`, for added tokens with all combinations of flags and for patterns with classes of words,
and writes the ids to test/fixtures/added-token-cases.json.

    python scripts/added-token-cases.py        # needs tokenizers 0.23.3
"""
import itertools
import json
import os
import random

from tokenizers import Tokenizer

FIXTURES = os.path.join(os.path.dirname(__file__), "..", "test", "fixtures")
FLAGS = ["lstrip", "rstrip", "single_word", "normalized", "special"]
CONTENTS = ["<|a|>", "cat", "<é>", "e\u0301", "a b", "cats"]
OVERLAPPING = ["<|a|>", "<|a", "a|>b", "|>", "cat", "cats", "at", " cat", "cat ", "\n", "\n\n", " ", "  "]
PARTS = CONTENTS + [" ", "  ", "\n", "\t", "\u00a0", "\u3000", "x", "é", "e\u0301", "_", "1", "日", "😀", "-", "\u200d", ".", "\u0301"]
NORMALIZERS = [None, {"type": "NFC"}]
PATTERNS = [
    r"\w+|[^\w\s]+|\s+",
    r"\W+|\w",
    r"[\W]+",
    r"[^\W]+",
    r"[^\W_]+",
    r"[\W\d]+",
    r"[^\W\d]+",
    r"\b\w",
    r"\B.",
    r"\w+\b",
    r"(?<!\w)\d+(?!\w)",
    r"[\w-]+",
    r"[\s\W]",
    r"[^\s\W]+",
    r"[\S]+",
    r"[^\S\r\n]+",
    r"\D+",
    r"[\D]",
    r"[^\D]+",
    r"[]a]+",
    r"[^]a]+",
    r"\\w",
    r"[\\w]+",
]
TEXTS = [
    "été là",
    "a_é x1½²Ⅷ日本語",
    "don't stop, e\u0301té-là 12٣४",
    "Ⓐ\u200dx\u203fy\u0301 \\w]a[b\\",
    "a\r\n b\u00a0c\u3000d\u2028e\x85f\ufeffg",
    "naïve_Straße42 𝟘𝔸 😀",
]


def model():
    with open(os.path.join(FIXTURES, "reports", "04-added-token-flags", "model", "tokenizer.json")) as file:
        return json.load(file)


def ids(config, texts, special=True):
    tokenizer = Tokenizer.from_str(json.dumps(config))
    tokenizer.encode_special_tokens = not special
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def added_tokens(contents, values, flags):
    return [
        {"id": 256 + i, "content": content, **dict(zip(FLAGS, values if i % 2 == 0 else random.choice(flags)))}
        for i, content in enumerate(contents)
    ]


def texts_of(parts):
    return ["".join(random.choices(parts, k=random.randint(1, 9))) for _ in range(6)]


def main():
    random.seed(15)
    base = model()
    cases = []
    flags = list(itertools.product([False, True], repeat=len(FLAGS)))
    for normalizer in NORMALIZERS:
        for values in flags:
            added = added_tokens(random.sample(CONTENTS, 3), values, flags)
            change = {"normalizer": normalizer, "added_tokens": added}
            texts = texts_of(PARTS)
            cases.append({**change, "texts": texts, "ids": ids({**base, **change}, texts)})
    # Tokens in or over others, and of white space, also where special ones do not count.
    while len(cases) < 160:
        added = added_tokens(random.sample(OVERLAPPING, 4), random.choice(flags), flags)
        texts = texts_of([token["content"] for token in added] + [" ", "\n", "cat", "|", "é", "_"])
        change = {"normalizer": random.choice(NORMALIZERS), "added_tokens": added}
        config = {**base, **change}
        try:
            cases.append({**change, "texts": texts, "ids": ids(config, texts), "plain": ids(config, texts, False)})
        except BaseException as error:  # white space that two tokens want makes tokenizers panic
            if type(error).__name__ != "PanicException":
                raise
    for pattern in PATTERNS:
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        pre = {**base["pre_tokenizer"], "pretokenizers": [split, base["pre_tokenizer"]["pretokenizers"][1]]}
        change = {"added_tokens": [], "pre_tokenizer": pre}
        cases.append({**change, "texts": TEXTS, "ids": ids({**base, **change}, TEXTS)})
    with open(os.path.join(FIXTURES, "added-token-cases.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(len(cases), "cases")


main()
