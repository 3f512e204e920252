"""``retained``: the golden sets, and how they are drawn."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import LADDER, ROOT

from lacache_core.ladder import LadderConfig, retained

GOLDEN = json.loads(
    gzip.decompress((Path(__file__).parents[1] / "data/ladder_reference.json.gz").read_bytes())
)


@pytest.mark.parametrize("case", GOLDEN[::20], ids=lambda c: f"L{c['num_layers']}S{c['span']}")
def test_retained_gives_the_golden_sets(run, case):
    point = case["checkpoints"][-1]
    status, out, err = run(
        *("retained", "--layers", case["num_layers"], "--budget", case["budget"]),
        *("--span", case["span"], "--overlap", case["overlap"], "--sinks", case["num_sink"]),
        *("--tokens", point["tokens_seen"], "--json"),
    )
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert set(answer) == {"retained", "effective_budget", "union"}
    assert answer["effective_budget"] == case["effective_budget"]
    assert answer["union"] == point["union"]
    rows = np.array(answer["retained"], dtype="<i4")
    assert hashlib.sha256(rows.tobytes()).hexdigest() == point["sha256"]


def test_retained_imports_no_torch():
    code = (
        "import sys; from lacache_core.cli import main\n"
        "status = main('retained --layers 30 --tokens 1000 --arrangement staircase'.split())\n"
        "sys.exit(status or 'torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "each of 30 layers holds 256 entries" in done.stdout


@pytest.mark.parametrize("tokens", [0, 1, 7, 9, 64, 1000])
def test_retained_draws_every_pattern(run, tokens):
    status, out, _ = run("retained", "--layers", 6, *LADDER, "--tokens", tokens)
    assert status == 0
    bars = [line.split("|")[1] for line in out.splitlines() if line.count("|") == 2][1:]
    if not tokens:
        assert bars == []
        return
    # Span 3, overlap 1 on 6 layers: groups of 3 of which 2 stay, so two patterns.
    assert len(bars) == 2
    assert {len(bar) for bar in bars} == {min(tokens, 64)}
    rows = retained(LadderConfig(32, 3, 1), 6, tokens)
    if tokens <= 64:  # one character a token
        for bar, row in zip(bars, rows, strict=False):
            assert bar == "".join("#" if t in row else " " for t in range(tokens))
    else:
        # Sinks and the newest are there; of what lies between, most is gone.
        assert all(bar[0] != " " and bar[-1] != " " and bar.count(" ") > 30 for bar in bars)
        assert bars[0] != bars[1]


def test_people_count_layers_and_tokens_from_one_and_programs_from_zero(run):
    command = ("retained", "--layers", 6, *LADDER, "--tokens", 100)
    out = run(*command)[1]
    assert "|1" in out and "100| tokens" in out
    assert "       1, 3, 5  |" in out and "       2, 4, 6  |" in out
    rows = json.loads(run(*command, "--json")[1])["retained"]
    assert rows[0][0] == 0 and rows[0][-1] == 99
