"""From a bare Python to a running app or a tested checkout: ``make`` calls this.

Standard library only, and understood by old Pythons as far as the sentence that refuses them.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
NEEDED = (3, 10)
INPUTS = ["requirements.txt", "constraints.txt", "pyproject.toml"]
TEST_TOOLS = ["pytest", "hypothesis", "ruff", "mypy", "playwright", "axe-playwright-python"]


def fail(sentence):
    """End with one clear sentence."""
    sys.exit("\n" + sentence)


def say(text):
    print("== " + text, flush=True)


def venv_python():
    """The interpreter inside ``.venv``."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(command, sentence, **options):
    """Run a command that must succeed; otherwise the sentence ends everything."""
    try:
        done = subprocess.run([str(part) for part in command], cwd=ROOT, **options)
    except KeyboardInterrupt:
        sys.exit(130)
    if done.returncode:
        fail(sentence)


def pinned_torch():
    """The exact torch that was tested, as a requirement."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith("torch=="))


def pip(*arguments):
    """Install; pip shows its own progress."""
    command = [venv_python(), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    done = subprocess.run([str(part) for part in [*command, *arguments]], cwd=ROOT, env=environment)
    if done.returncode:
        fail(
            "Installing failed: pip's last lines above say why. Most often the package index "
            "cannot be reached, or has no build of a package for this Python ({}.{}); "
            "PYTHON= chooses another one.".format(*sys.version_info[:2])
        )


def install(kind):
    """Make ``.venv`` with what ``kind`` ("run" or "test") needs; quick when it is there."""
    stamp = VENV / f".installed-{kind}"
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    if venv_python().exists() and stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    started = time.time()
    if not venv_python().exists():
        say("Making .venv")
        run(
            [sys.executable, "-m", "venv", VENV],
            "Python's venv module is missing or incomplete; install it (on Debian and Ubuntu: "
            "apt install python3-venv) and try again.",
        )
    say("Installing torch (first and alone, so that its exact version is the one that counts)")
    pip(pinned_torch())
    # Some of the exact versions that were tested need Python 3.11; 3.10 takes the ranges.
    exact = ["-c", "constraints.txt"] if sys.version_info >= (3, 11) else []
    say("Installing the other packages")
    pip("-r", "requirements.txt", *exact)
    if kind == "test":
        say("Installing the test tools")
        pip(*TEST_TOOLS, *exact)
    stamp.write_text(digest.hexdigest())
    say(f"Installed in {time.time() - started:.0f} s")


def get_model():
    """The embedded model, with its own progress display."""
    run(
        [venv_python(), "-m", "lacache_core", "models", "--get"],
        "The embedded model is not there; the line above says why.",
    )


def serve():
    """The app, until it is interrupted."""
    install("run")
    get_model()
    say("Starting the app")
    command = [str(venv_python()), "app.py"]
    try:
        sys.exit(subprocess.run(command, cwd=ROOT).returncode)
    except KeyboardInterrupt:
        sys.exit(0)


def lint():
    install("test")
    say("Lint")
    fix = "make lint found something; '.venv/bin/ruff check --fix . && .venv/bin/ruff format .' "
    run([venv_python(), "-m", "ruff", "check", "."], fix + "mends most of it.")
    run([venv_python(), "-m", "ruff", "format", "--check", "."], fix + "mends it.")


def types():
    install("test")
    say("Types")
    run([venv_python(), "-m", "mypy"], "The type checker found something; see above.")


def test():
    """Lint, types, all tests; the last line is pytest's."""
    lint()
    types()
    sys.path.insert(0, str(ROOT / "scripts"))
    import browser

    say("Chromium for the browser tests")
    try:
        path = browser.ensure(venv_python())
    except browser.NoBrowser as error:
        fail(str(error))
    print(path, flush=True)
    get_model()
    say("Tests")
    environment = {**os.environ, "CHROMIUM": str(path)}
    done = subprocess.run([str(venv_python()), "-m", "pytest"], cwd=ROOT, env=environment)
    sys.exit(done.returncode)


def bench():
    install("run")
    get_model()
    command = [str(venv_python()), "-m", "benchmarks", *sys.argv[2:]]
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)


COMMANDS = {"run": serve, "test": test, "lint": lint, "types": types, "bench": bench}


def main():
    if sys.version_info < NEEDED:
        fail(
            "This needs Python {}.{} or newer; this one is {}.{}. PYTHON= chooses another: "
            "make run PYTHON=python3.11".format(*NEEDED, *sys.version_info[:2])
        )
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        fail("usage: python scripts/bootstrap.py " + "|".join(COMMANDS))
    if shutil.disk_usage(ROOT).free < 4e9 and not venv_python().exists():
        fail("Less than 4 GB of disk are free here; torch and the other packages need them.")
    COMMANDS[sys.argv[1]]()


if __name__ == "__main__":
    main()
