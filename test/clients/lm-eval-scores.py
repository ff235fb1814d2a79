"""Log-likelihoods as lm-eval computes them over a server; see lm-eval.client.test.ts.

Arguments: the server's address, a model's name. Input: {"pairs": [[context, continuation], ...], "texts": [...]}.
Output: for each way to send requests, [log-likelihood, whether it is the greedy text] of each pair, and each text's.
"""

import json
import sys

from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI

url, model = sys.argv[1:]
given = json.load(sys.stdin)
ways = {
    "ids": {"tokenized_requests": True},
    "texts": {"tokenized_requests": False},
    "batches": {"tokenized_requests": True, "batch_size": 4},
    "concurrent": {"tokenized_requests": True, "num_concurrent": 4},
}


def instances(kind, arguments):
    return [Instance(request_type=kind, doc={}, arguments=tuple(one), idx=i) for i, one in enumerate(arguments)]


scores = {}
for way, options in ways.items():
    # The tokenizer is the server's: lm-eval finds it by itself.
    lm = LocalCompletionsAPI(base_url=f"{url}/v1/completions", model=model, max_length=2048, **options)
    assert lm.tokenizer_backend == "remote", lm.tokenizer_backend
    scores[way] = {
        "pairs": lm.loglikelihood(instances("loglikelihood", given["pairs"])),
        "texts": lm.loglikelihood_rolling(instances("loglikelihood_rolling", [[text] for text in given["texts"]])),
    }
    until = {"until": ["\n\n"], "max_gen_toks": 12}
    scores[way]["generated"] = lm.generate_until(
        instances("generate_until", [[context, until] for context, _ in given["pairs"] if context != ""])
    )
json.dump(scores, sys.stdout)
