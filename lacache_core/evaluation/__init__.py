"""What a budget costs: perplexity, needle in a haystack, endless reading, policy beside policy.

``perplexity``, ``needle`` and ``endless`` each yield results as they come, as plain dataclasses,
with progress and a way to stop; ``contenders`` says who competes, ``texts`` on what, ``kept`` where
results are found again. Nothing here knows pages or the command line.
"""
