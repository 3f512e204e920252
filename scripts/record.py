"""Record the runs that the app shows before anybody has run anything: ``assets/recordings``.

Runs the embedded model for real, through the same runner as the page:

    python scripts/record.py              # all of them
    python scripts/record.py ladder       # one of them

Attention frames are thinned and rounded (to about three percent) so that each file stays small;
everything else is kept as it was measured.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from app.recorded import FOLDER, MAX_BYTES, PAIR  # noqa: E402
from app.runner import run_messages  # noqa: E402
from app.runs import Runs  # noqa: E402
from lacache_core.trace import MassFrame, Trace  # noqa: E402

KEPT_MANTISSA_BITS = 4  # of the ten of a float16: steps of about three percent
HARBOUR = ROOT / "assets" / "recordings" / "harbour.txt"
LIGHTHOUSE = ROOT / "assets" / "recordings" / "pair" / "lighthouse.txt"
ESSAY = ROOT / "assets" / "samples" / "ladder.txt"
GENERATE = {
    "mode": "generate",
    "budget": 256,
    "chunk": 8,
    "max_new_tokens": 120,
    "temperature": 0.8,
    "top_p": 0.9,
    "seed": 2,
}
PAIR_WORDS = (
    "A window against a ladder, the same memory",
    "A keeper's instructions, said at the beginning and once more at the end. When they return, "
    "the window (A) has dropped them in every layer; half of the ladder's layers (B) "
    "still hold them.",
)


@dataclass(frozen=True)
class Plan:
    """One recording: what runs, and the words that go with it."""

    file: str
    text: Path
    settings: dict[str, Any]
    title: str
    about: str
    fact: str | None = None


PLANS = {
    "ladder": Plan(
        "1-ladder",
        HARBOUR,
        {**GENERATE, "policy": "lacache", "span": 15, "overlap": 0},
        "A ladder, span 15",
        "The text says early where a key lies and asks for it at the end, when half of the layers "
        "still held each old word: the model remembers the barrel.",
        fact="under the blue barrel",
    ),
    "window": Plan(
        "2-window",
        HARBOUR,
        {**GENERATE, "policy": "streaming_llm"},
        "A window of the same size",
        "The same text and the same memory under StreamingLLM: what is older than the window is "
        "gone in every layer.",
        fact="under the blue barrel",
    ),
    "staircase": Plan(
        "3-staircase",
        ESSAY,
        {
            "mode": "read",
            "policy": "lacache",
            "budget": 128,
            "span": 8,
            "overlap": 4,
            "arrangement": "staircase",
        },
        "A staircase, span 8, overlap 4",
        "An essay that is only read, with half the memory: early words of each group stay in the "
        "shallow layers, later ones in the deep layers, as in the paper's figure.",
    ),
    # The pair that the Compare page opens with: one text, one budget.
    "pair-window": Plan(
        f"pair/{PAIR[0]}",
        LIGHTHOUSE,
        {"mode": "read", "policy": "streaming_llm", "budget": 256},
        *PAIR_WORDS,
    ),
    "pair-ladder": Plan(
        f"pair/{PAIR[1]}",
        LIGHTHOUSE,
        {"mode": "read", "policy": "lacache", "budget": 256, "span": 15, "overlap": 0},
        *PAIR_WORDS,
    ),
}


def record(plan: Plan) -> Trace:
    """Run it, and take the trace as the app would export it."""
    runs = Runs()
    values = {**plan.settings, "prompt": plan.text.read_text("utf-8").strip(), "observe": True}
    run = ""
    for message in run_messages(values, None, runs):
        run = message.get("run", run)
        seen = message.get("figures", {}).get("seen", 0)
        print(f"\r{plan.file}: {seen} tokens", end="", flush=True)
    trace = runs.trace(run)
    if trace is None or trace.manifest["stop_reason"] not in ("length", "end of text"):
        raise SystemExit(f"{plan.file} did not run to its end.")
    words = {"title": plan.title, "about": plan.about, "fact": where(plan.fact, trace)}
    return replace(trace, manifest={**trace.manifest, **words})


def where(fact: str | None, trace: Trace) -> list[int] | None:
    """First and last position of the tokens that spell the fact where it is said first."""
    if fact is None:
        return None
    tokens = trace.manifest["tokens"]
    ends = np.cumsum([len(token) for token in tokens])
    begin = "".join(tokens).index(fact)
    first = int(np.searchsorted(ends, begin, side="right"))
    return [first, int(np.searchsorted(ends, begin + len(fact) - 1, side="right"))]


def rounded(mass: np.ndarray) -> np.ndarray:
    """Float16 with fewer bits, rounded to nearest, so that it packs well."""
    drop = 10 - KEPT_MANTISSA_BITS
    bits = mass.astype(np.float16).view(np.uint16).astype(np.uint32)
    bits = (bits + (1 << (drop - 1))) >> drop << drop
    return bits.astype(np.uint16).view(np.float16)


def fitted(trace: Trace) -> bytes:
    """The file, with as many evenly spread attention frames as its size allows."""
    for stride in range(1, len(trace.frames) + 2):
        chosen = trace.frames[::-1][::stride][::-1]
        frames = tuple(MassFrame(f.step, rounded(f.mass)) for f in chosen)
        # Packing takes long, and no value ever took less than this.
        if sum(f.mass.size for f in frames) * 0.6 > MAX_BYTES:
            continue
        data = replace(trace, frames=frames).to_bytes()
        if len(data) <= 0.98 * MAX_BYTES:
            return data
    raise SystemExit("This recording is too large even without attention.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "which", nargs="*", metavar="NAME", help=f"one of {', '.join(PLANS)}; all when left out"
    )
    which = parser.parse_args().which or list(PLANS)
    if unknown := sorted(set(which) - set(PLANS)):
        parser.error(f"there is no recording {unknown[0]!r}")
    for name in which:
        plan = PLANS[name]
        data = fitted(record(plan))
        path = FOLDER / f"{plan.file}.npz"
        path.write_bytes(data)
        trace = Trace.load(path)
        print(
            f"\r{path.relative_to(ROOT)}: {len(data):,} bytes, {trace.num_tokens} tokens, "
            f"{len(trace.compactions)} compactions, {len(trace.frames)} attention frames"
        )
        print("   ...", trace.manifest["text"][:100].replace("\n", " "))


if __name__ == "__main__":
    main()
