"""The arrows between modules point one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "lacache_core"

# A module may import those of its own layer and of the layers before it.
LAYERS = [
    {"errors", "stopwatch", "triton_kernels", "turns"},
    {"plan", "kernels"},
    {"ladder", "trace", "trace_file"},
    {"policies", "settings", "trace_builder", "manifest"},
    {
        "models",
        "checkpoint",
        "devices",
        "embedded",
        "rope",
        "buffers",
        "attention",
        "text",
        "sampling",
        "store",
    },
    {"static_steps"},
    {"contents"},
    {"cache"},
    {"engine", "admission", "description"},
    {"evaluation"},
    {"sweep"},
    {"cli", "__main__", "__init__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("file", sorted(CORE.rglob("*.py")), ids=lambda f: str(f.relative_to(CORE)))
def test_core_imports_point_down(file):
    own = file.relative_to(CORE).parts[0].removesuffix(".py")
    assert own in RANK, f"give {own} a place among the layers"
    for name in imports(file):
        assert name.split(".")[0] not in {"app", "gradio", "plotly"}, name
        if name.startswith("lacache_core."):
            assert RANK[name.split(".")[1]] <= RANK[own], f"{own} imports {name}"


@pytest.mark.parametrize(
    "module", ["ladder", "trace", "plan", "errors", "policies", "settings", "manifest"]
)
def test_needs_no_torch(module):
    code = f"import sys, lacache_core.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_front_door_needs_no_torch_for_the_rule():
    code = "import sys; from lacache_core import retained; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
