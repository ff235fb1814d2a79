"""
Writes test/fixtures/special-variables.json: the special tokens that transformers passes to chat templates, for model
folders whose files name them in different ways.

    python scripts/special-variables.py        # needs transformers 5.24
"""
import json
import os
import tempfile

from transformers import AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "test", "fixtures", "reports", "06-special-token-variables", "model")
NAMED = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|pad|>"}
BACKEND = {"tokenizer_class": "PreTrainedTokenizerFast"}


def added(content):
    return {"__type": "AddedToken", "content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}


def flags(content):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}


LISTED = {"added_tokens_decoder": {"256": {**flags("<|begin|>"), "special": True}}}
ALL_NULL = {name: None for name in NAMED}

CASES = [
    {"config": {**BACKEND, **NAMED}},
    {"config": NAMED},
    {"config": {}},
    {"config": {**BACKEND, **ALL_NULL}},
    {"config": {**BACKEND, "bos_token": added("<|begin|>"), "eos_token": added("<|end|>"), "cls_token": "<|cls|>"}},
    {"config": {**BACKEND, **NAMED, "image_token": "<|sep|>", "my_token": added("<mask>"), "add_bos_token": True, "count_token": 5}},
    {"config": {**BACKEND, **NAMED, "extra_special_tokens": {"image_token": "<|sep|>", "foo": added("<mask>")}}},
    {"config": {**BACKEND, **NAMED, "extra_special_tokens": ["<|sep|>", "<|eot|>"]}},
    {"config": {**BACKEND, **NAMED, "extra_special_tokens": {"bos_token": "<|sep|>"}}, "map": {"bos_token": "<mask>"}},
    {"config": {**BACKEND, **NAMED, "additional_special_tokens": ["<|sep|>"]}},
    {"config": {**BACKEND, **NAMED, "additional_special_tokens": {"foo": "<|sep|>"}, "extra_special_tokens": {}}},
    {"config": {**BACKEND, **NAMED, "model_specific_special_tokens": {"foo": "<|sep|>"}}},
    {"config": {**BACKEND, "my_token": "<|cls|>", "model_specific_special_tokens": {"foo": "<|sep|>"}}},
    # special_tokens_map.json
    {"config": BACKEND, "map": {"bos_token": "<|begin|>", "eos_token": flags("<|end|>"), "foo": "<mask>"}},
    {"config": {**BACKEND, **NAMED}, "map": {"bos_token": "<|sep|>", "eos_token": None, "unk_token": "<unk>"}},
    {"config": {**BACKEND, **NAMED, **LISTED}, "map": {"bos_token": "<|sep|>", "eos_token": None, "unk_token": "<unk>"}},
    {"config": {**BACKEND, "my_token": "<|cls|>"}, "map": {"my_token": "<|sep|>", "other_token": "<mask>"}},
    {"config": {**BACKEND, "my_token": added("<|cls|>")}, "map": {"my_token": "<|sep|>"}},
    {"config": {**BACKEND, "my_token": added("<|cls|>")}, "map": {"my_token": None}},
    {"config": BACKEND, "map": {"extra_special_tokens": {"foo": "<|cls|>"}, "additional_special_tokens": ["<|eot|>"]}},
    # Classes with tokens of their own
    *[
        {"type": model, "config": {**named, **({"tokenizer_class": name} if name else {})}}
        for model in ("llama", "qwen2", "qwen3")
        for name in (None, "PreTrainedTokenizerFast", "LlamaTokenizer", "Qwen2TokenizerFast", "GPT2Tokenizer", "CodeLlamaTokenizerFast")
        for named in ({}, {"eos_token": "<|end|>", "unk_token": None})
    ],
    {"type": "qwen3", "config": {}, "map": {"eos_token": None, "pad_token": "<|pad|>"}},
]


def main():
    lines = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            model = json.load(open(os.path.join(FOLDER, "config.json")))
            tokenizer = json.load(open(os.path.join(FOLDER, "tokenizer.json")))
            files = {
                "config.json": {**model, "model_type": case.get("type", "llama")},
                "tokenizer.json": tokenizer,
                "tokenizer_config.json": case["config"],
                "special_tokens_map.json": case.get("map"),
            }
            for name, content in files.items():
                if content is not None:
                    json.dump(content, open(os.path.join(folder, name), "w"))
            variables = AutoTokenizer.from_pretrained(folder).special_tokens_map
        lines.append(json.dumps({**case, "variables": variables}))
    out = os.path.join(HERE, "..", "test", "fixtures", "special-variables.json")
    with open(out, "w") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")
    print(len(lines), "cases")


main()
