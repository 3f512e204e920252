"""Finding, or getting, the Chromium that the browser tests drive. Standard library only."""

import os
import shutil
import subprocess
from pathlib import Path

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
PLACES = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""What a Chromium in tests is started with."""


class NoBrowser(Exception):
    """There is no Chromium and none could be got; the text says what to do."""


def find(python=None):
    """Path of a Chromium: ``$CHROMIUM``, an installed one, else Playwright's own; None without."""
    for name in [os.environ.get("CHROMIUM"), *NAMES, *PLACES]:
        if name and (path := shutil.which(name)):
            return path
    return _playwrights(python) if python else None


def ensure(python):
    """Path of a Chromium, fetched when there is none: by Playwright, else from the distribution.

    Raises
    ------
    NoBrowser
    """
    if path := find(python):
        return path
    print("No Chromium is installed; asking Playwright for its own", flush=True)
    try:
        subprocess.run([str(python), "-m", "playwright", "install", "chromium"], timeout=600)
    except subprocess.TimeoutExpired:
        print("Playwright's download took too long", flush=True)
    if path := find(python):
        return path
    if apt := shutil.which("apt-get"):
        print("Playwright has none; asking the distribution", flush=True)
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run([*sudo, apt, "update", "-q"], env=quiet)
        subprocess.run([*sudo, apt, "install", "-y", "-q", "chromium"], env=quiet)
    if path := find(python):
        return path
    raise NoBrowser(
        "No Chromium was found and none could be installed. Install one (on Debian: apt install "
        "chromium), or name its path in CHROMIUM=, and try again."
    )


def _playwrights(python):
    """The Chromium that Playwright downloaded earlier, if any."""
    code = (
        "from playwright.sync_api import sync_playwright as s\n"
        "with s() as p: print(p.chromium.executable_path)"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    path = done.stdout.strip()
    return path if path and Path(path).exists() else None
