"""What was measured for this project: the files of docs/results, where the repository has them."""

from __future__ import annotations

import re
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
_RELATIVE_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?![a-z]+://|#)[^)]*\)")
_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")


def findings(folder: Path = RESULTS) -> list[tuple[str, str]]:
    """Title and Markdown of each file, the overview first; links between files are plain words."""
    found = []
    for file in sorted(folder.glob("*.md"), key=lambda f: (f.name != "README.md", f.name)):
        text = file.read_text(encoding="utf-8")
        title, _, body = text.partition("\n")
        if not title.startswith("# "):
            title, body = f"# {file.stem.replace('-', ' ')}", text
        body = _RELATIVE_LINK.sub(r"\1", _PICTURE.sub("", body))
        found.append((title.removeprefix("# ").strip(), body.strip()))
    return found
