"""``python -m benchmarks``: which measurements there are, and running one."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = {
    "needle_wording": "which wording of the needle task a model can do with a full cache",
    "perplexity": "the reference perplexities, measured beside the published numbers",
    "decode": "a decoding step under every cache, side by side",
    "compiled": "a compiled decoding step, side by side; on a GPU also what batches fit",
    "prefill": "a long prompt in chunks under a budget, against one pass with a full cache",
    "runs": "the app's runs: how soon a first token is there, how two runs share",
    "memory": "memory and time a step while 20,000 tokens are written",
    "tables": "Markdown tables from what the command line measured",
    "explore": "the Explore page in a real Chromium: how soon, how fast, what it costs",
}


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in BENCHMARKS:
        print("usage: python -m benchmarks NAME [options]\n")
        for name, what in BENCHMARKS.items():
            print(f"  {name:16} {what}")
        return 0 if not arguments or arguments[0] in ("-h", "--help") else 2
    return int(import_module(f"benchmarks.{arguments[0]}").main(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
