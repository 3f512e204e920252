"""What somebody asks the Evaluate page to measure: checked, in words, and as a command.

From the loose values of controls to the same contenders and grids that the command line makes.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lacache_core.errors import InvalidSettingError
from lacache_core.evaluation.contenders import (
    FRACTION,
    Contender,
    contenders,
    parse_budget,
    parse_policy,
)
from lacache_core.evaluation.tasks import TASKS, Grid
from lacache_core.policies import POLICIES, policy_settings
from lacache_core.settings import MAX_PROMPT_CHARS, RunSettings, allowed, limits

Kind = Literal["perplexity", "needle", "endless"]
KINDS: tuple[Kind, ...] = ("perplexity", "needle", "endless")
TABS: dict[Kind, str] = {"perplexity": "Perplexity", "needle": "Needle", "endless": "Endless"}
"""What the measurements are called on the page."""
TITLES = {
    "policies": "Policies",
    "variants": "Variants",
    "budgets": "Budgets",
    "source": "Text",
    "own": "Your text",
    "dataset": "Data set",
    "tokens": "Tokens",
    "stretch": "Tokens per point",
    "read_chunk": "Reading chunk",
    "chunk": "Prefill chunk",
    "num_sink": "Sinks",
    "lengths": "Lengths",
    "depths": "Depths",
    "seeds": "Prompts per cell",
    "task": "Task",
}
"""What the controls are called on the page; errors name them so."""
MOST_CONTENDERS = 24
MOST_CELLS = 600
MOST_TOKENS = 1_000_000
MOST_TOKENS_TO_PREDICT = 100_000
FEWEST_CHARACTERS = 2
_DATASET = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.-]*){0,2}", re.ASCII)


@dataclass(frozen=True)
class Text:
    """Which text is read.

    Attributes
    ----------
    source
        ``manual`` (Python's language manual), ``essay`` (a short sample), ``own`` or ``hub``.
    own
        The text itself, where it is somebody's own.
    dataset
        A data set's name on the Hub, where it comes from there.
    """

    source: Literal["manual", "essay", "own", "hub"] = "manual"
    own: str = ""
    dataset: str = ""

    @property
    def private(self) -> bool:
        """Whether somebody brought it along."""
        return self.source == "own"

    def __str__(self) -> str:
        return {
            "manual": "Python's manual",
            "essay": "the essay on memory",
            "own": "your own text",
            "hub": self.dataset,
        }[self.source]


@dataclass(frozen=True)
class Request:
    """One measurement, ready to be carried out.

    Attributes
    ----------
    kind
        Which measurement.
    policies, budgets
        As ``contenders`` takes them.
    num_sink
        Sinks of every policy that has them and names none of its own.
    text, tokens, stretch, read_chunk
        Of ``perplexity`` and ``endless``; stretch None: a 32nd of the text.
    grid, chunk
        Of ``needle``.
    fresh
        Measure again what was measured before.
    form
        What the controls said, so that they can say it again; nothing of a text of one's own.
    """

    kind: Kind
    policies: tuple[str, ...]
    budgets: tuple[int | float, ...]
    num_sink: int = RunSettings.model_fields["num_sink"].default
    text: Text = field(default_factory=Text)
    tokens: int = 512
    stretch: int | None = None
    read_chunk: int = 1
    grid: Grid = field(default_factory=Grid)
    chunk: int = RunSettings.model_fields["chunk"].default
    fresh: bool = False
    form: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def competing(self) -> list[Contender]:
        """Who competes."""
        usual = RunSettings.model_fields["num_sink"].default
        sinks = {} if self.num_sink == usual else {"num_sink": self.num_sink}
        return contenders(self.policies, self.budgets, sinks)

    def about(self, length: int | None = None) -> str:
        """What is measured, in a line; says nothing of a text but where it is from.

        ``length`` is the text's, once that is known: it may be shorter than what was asked for.
        """
        if self.kind == "needle":
            lengths = ", ".join(f"{n:,}" for n in self.grid.lengths)
            each = f"{self.grid.seeds} prompt{'s' * (self.grid.seeds > 1)} a cell"
            hidden = {"passkey": "Pass key", "word": "Secret word"}[self.grid.task.name]
            return f"{hidden}, lengths {lengths}, {each}"
        step = "" if self.read_chunk == 1 else f", {self.read_chunk} at a time"
        said = str(self.text)
        first = int(self.kind == "perplexity")  # which nothing predicts
        tokens = self.tokens if length is None else min(self.tokens, length - first)
        what = "predicted" if first else "read"
        noun = "token" if tokens == 1 else "tokens"
        return f"{said[:1].upper()}{said[1:]}, {tokens:,} {noun} {what}{step}"


def request_of(kind: Kind, values: Mapping[str, Any]) -> Request:
    """The request that a page's controls make, by the names in ``TITLES``.

    Raises
    ------
    InvalidSettingError
        Naming the control, the value and what is allowed.
    """
    policies = _policies(values.get("policies"), values.get("variants"))
    budgets = _list("budgets", values.get("budgets"), parse_budget, FRACTION)
    given: dict[str, Any] = {
        "kind": kind,
        "policies": policies,
        "budgets": tuple(budgets) or (RunSettings.model_fields["budget"].default,),
        "num_sink": _setting("num_sink", values),
        "fresh": values.get("fresh") is True,
        "form": {name: value for name, value in values.items() if name not in ("own", "fresh")},
    }
    if any("budget" in policy_settings(parse_policy(p)[0]) for p in policies) and not budgets:
        raise InvalidSettingError(TITLES["budgets"], "", f"at least one, each {FRACTION}")
    if kind == "needle":
        request = Request(**given, grid=_grid(values), chunk=_setting("chunk", values))
        cells = len(request.competing()) * len(request.grid.lengths) * len(request.grid.depths)
        if cells > MOST_CELLS:
            wanted = f"so few that at most {MOST_CELLS} cells come together"
            raise InvalidSettingError(TITLES["lengths"], f"{cells} cells", wanted)
    else:
        least, most = (1, MOST_TOKENS_TO_PREDICT) if kind == "perplexity" else (2, MOST_TOKENS)
        stretch = _number_or_none(values.get("stretch"))
        request = Request(
            **given,
            text=_text(values),
            tokens=_whole("tokens", values.get("tokens"), least, most),
            stretch=None if stretch is None else _whole("stretch", stretch, 1, most),
            read_chunk=_setting("read_chunk", values),
        )
    if len(request.competing()) > MOST_CONTENDERS:
        raise InvalidSettingError(
            TITLES["policies"],
            f"{len(request.competing())} in all budgets",
            f"at most {MOST_CONTENDERS}, every budget counted",
        )
    return request


def variant(values: Mapping[str, Any]) -> str:
    """A policy with settings of its own, as the command line spells it: what is not the default.

    Raises
    ------
    InvalidSettingError
        When a setting is impossible.
    """
    policy = str(values.get("policy"))
    names = [n for n in policy_settings(policy) if n != "budget" and n in RunSettings.model_fields]
    chosen = RunSettings.validate_values({n: values[n] for n in names if n in values})
    own = {
        name: getattr(chosen, name)
        for name in names
        if name in values and getattr(chosen, name) != RunSettings.model_fields[name].default
    }
    said = ",".join(f"{name}={value}" for name, value in own.items())
    return f"{policy}:{said}" if said else policy


def command(request: Request) -> str:
    """The command that measures the same: what is not its default, and who competes."""
    parts = ["python", "-m", "lacache_core", request.kind]
    for policy in request.policies:
        parts += ["--policy", policy]
    if any(one.budget is not None for one in request.competing()):
        for budget in request.budgets:
            parts += ["--budget", f"{budget:g}" if isinstance(budget, float) else str(budget)]
    if request.num_sink != RunSettings.model_fields["num_sink"].default:
        parts += ["--sinks", str(request.num_sink)]
    if request.kind == "needle":
        grid = request.grid
        parts += ["--lengths", ",".join(map(str, grid.lengths))]
        parts += ["--depths", ",".join(f"{depth:g}" for depth in grid.depths)]
        parts += ["--seeds", str(grid.seeds)]
        if grid.task.name != "passkey":
            parts += ["--task", grid.task.name]
        if request.chunk != RunSettings.model_fields["chunk"].default:
            parts += ["--chunk", str(request.chunk)]
    else:
        texts = {
            "essay": ["--text", "assets/samples/ladder.txt"],
            "own": ["--text", "your-text.txt"],
            "hub": ["--dataset", request.text.dataset],
        }
        parts += texts.get(request.text.source, [])
        parts += ["--tokens", str(request.tokens)]
        if request.stretch is not None:
            parts += ["--stretch", str(request.stretch)]
        if request.read_chunk != 1:
            parts += ["--read-chunk", str(request.read_chunk)]
    return shlex.join([*parts, *["--fresh"] * request.fresh])


def _policies(names: Any, variants: Any) -> tuple[str, ...]:
    chosen: list[str] = []
    for field_name, values in (("policies", names), ("variants", variants)):
        for value in values if isinstance(values, Sequence) and not isinstance(values, str) else []:
            try:
                name, own = parse_policy(str(value))
                contenders([str(value)], [], {})  # every value of its own is possible
            except InvalidSettingError as error:
                raise InvalidSettingError(
                    TITLES[field_name], value, _wanted(str(value), error)
                ) from None
            plain = name if not own else str(value).strip()
            if plain not in chosen:
                chosen.append(plain)
    if not chosen:
        raise InvalidSettingError(TITLES["policies"], "", "at least one")
    return tuple(chosen)


def _wanted(value: str, error: InvalidSettingError) -> str:
    name = value.partition(":")[0].strip()
    if name not in POLICIES:
        return f"one of {', '.join(POLICIES)}, if wanted with settings, as in lacache:span=8"
    return error.allowed if error.field == "policy" else f"{error.field} {error.allowed}"


def _grid(values: Mapping[str, Any]) -> Grid:
    lengths = _list("lengths", values.get("lengths"), int, "whole numbers of tokens")
    depths = _list("depths", values.get("depths"), _share, "numbers from 0 to 1")
    task = values.get("task")
    if task not in TASKS:
        raise InvalidSettingError(TITLES["task"], task, f"one of {', '.join(TASKS)}")
    for name, found in (("lengths", lengths), ("depths", depths)):
        if not found:
            raise InvalidSettingError(TITLES[name], "", "at least one")
    seeds = _whole("seeds", values.get("seeds"), 1, 100)
    try:
        return Grid(sorted(set(lengths)), sorted(set(depths)), seeds, TASKS[task])
    except InvalidSettingError as error:
        title = {"length": TITLES["lengths"], "depth": TITLES["depths"]}.get(error.field)
        raise InvalidSettingError(title or error.field, error.value, error.allowed) from None


def _share(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def _text(values: Mapping[str, Any]) -> Text:
    source = values.get("source")
    if source not in ("manual", "essay", "own", "hub"):
        raise InvalidSettingError(TITLES["source"], source, "one of those in the list")
    own, dataset = values.get("own"), values.get("dataset")
    if source == "own":
        if not isinstance(own, str) or len(own.strip()) < FEWEST_CHARACTERS:
            raise InvalidSettingError(TITLES["own"], own or "", "a text of at least two words")
        if len(own) > MAX_PROMPT_CHARS:
            raise InvalidSettingError(
                TITLES["own"],
                f"{len(own):,} characters",
                f"at most {MAX_PROMPT_CHARS:,} characters",
            )
        return Text("own", own=own)
    if source == "hub":
        if not isinstance(dataset, str) or not dataset.strip():
            wanted = "a name like Salesforce/wikitext:wikitext-2-raw-v1"
            raise InvalidSettingError(TITLES["dataset"], dataset or "", wanted)
        name = dataset.strip()
        folder = name.partition(":")[0]
        if not _DATASET.fullmatch(name) or (os.environ.get("SPACE_ID") and Path(folder).exists()):
            wanted = "owner/name, or owner/name:configuration:split"
            raise InvalidSettingError(TITLES["dataset"], name, wanted)
        return Text("hub", dataset=name)
    return Text("essay" if source == "essay" else "manual")


def _list(name: str, given: Any, read: Any, wanted: str) -> list[Any]:
    """Several values: a list of them, or a text with commas."""
    if given is None:
        return []
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, Sequence):
        parts = [parts]
    found = []
    for part in parts:
        text = str(part).strip()
        if not text:
            continue
        try:
            value = read(text)
        except ValueError:  # an InvalidSettingError is one too
            raise InvalidSettingError(TITLES[name], text, wanted) from None
        if value not in found:
            found.append(value)
    return found


def _number_or_none(given: Any) -> Any:
    """What was typed into a field that may be empty, as a number where it is one."""
    text = str(given or "").strip()  # a 0 is what an empty field was once kept as
    try:
        return int(text) if text else None
    except ValueError:
        return text


def _whole(name: str, given: Any, low: int, high: int) -> int:
    whole = isinstance(given, (int, float)) and not isinstance(given, bool) and given == given // 1
    if not whole or not low <= given <= high:
        shown = int(given) if whole else given
        raise InvalidSettingError(TITLES[name], shown, f"a whole number from {low:,} to {high:,}")
    return int(given)


def _setting(name: str, values: Mapping[str, Any]) -> int:
    """A whole number that the schema of settings knows."""
    low, high = limits(name)
    given = values.get(name, RunSettings.model_fields[name].default)
    try:
        return _whole(name, given, int(low or 0), int(high or 0))
    except InvalidSettingError:
        raise InvalidSettingError(TITLES[name], given, allowed(name)) from None
