"""The project's exceptions: each names the field or part at fault and what would be right.

Nothing here knows where an error is shown. The page, the API and the command line print
``str(error)`` as it stands, so every message must make sense to somebody who sees no traceback.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_NAMED = re.compile(r"`(\w+)`")


class LaCacheError(Exception):
    """Base of everything this project raises on purpose; its text is fit for a user."""


class InvalidSettingError(LaCacheError, ValueError):
    """A setting is out of range or of the wrong type.

    Parameters
    ----------
    field
        Name of the setting, as API, command line and library spell it.
    value
        What was given.
    allowed
        What would have been right, in words ("a whole number from 1 to 29"). Where it speaks of
        another setting, that one's name stands in backquotes ("less than `span` 15"), so that
        ``told`` can spell it as its reader knows it; they are in no text.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        self.field = field
        self.value = value
        self._allowed = allowed
        super().__init__(self.told(str))

    @property
    def allowed(self) -> str:
        """What would have been right, in words."""
        return self._allowed_by(str)

    def told(self, spelled: Callable[[str], str]) -> str:
        """The text, with every setting that it names spelled by ``spelled``."""
        name, allowed = spelled(self.field), self._allowed_by(spelled)
        if self.value is None or (isinstance(self.value, str) and not self.value.strip()):
            return f"{name} is empty: it must be {allowed}."
        shown = repr(self.value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        return f"{name} = {shown} is not possible: it must be {allowed}."

    def _allowed_by(self, spelled: Callable[[str], str]) -> str:
        return _NAMED.sub(lambda found: spelled(found[1]), self._allowed)

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        return (type(self), (self.field, self.value, self._allowed))


class InvalidLadderError(InvalidSettingError):
    """A ladder configuration that the method cannot carry out, found before anything runs."""


class UnsupportedModelError(LaCacheError):
    """The model's attention or positions do not fit the method; the text says which and why."""


class UnsupportedOperationError(LaCacheError):
    """Something was asked of the cache that would give wrong text; the text says what and why."""


class ModelUnavailableError(LaCacheError):
    """A model could not be fetched or loaded; the text says what to do."""


class DamagedTraceError(LaCacheError):
    """A file does not hold a readable trace; the text names the part that is wrong."""


class StoreUnavailableError(LaCacheError):
    """Results cannot be kept or read; the text says where and what to do."""


class TextUnavailableError(LaCacheError):
    """A text cannot be had; the text of the error says which and what to do."""
