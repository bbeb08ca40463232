"""What is wrong with a config: a place in the file, a sentence, and the line where it is known.

A report shows where a value stands and never the value: it may be a key that somebody pasted into
the wrong line.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_SHOWN_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,39}", re.ASCII)
_SECRET_PLACE: Final = re.compile(r"(^|\.)(key|bearer|password)(\.|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `path` is like `routes[0].path`, or empty for the whole file."""

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        return f"{place}{self.message}" + (f" (line {self.line})" if self.line else "")


class ConfigError(Exception):
    """The config cannot be used; `problems` says why, all of it at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def join(path: str, step: str | int) -> str:
    """Write the path one step further down: a key after a dot, an index in brackets."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


def may_be_shown(parent: str, key: str) -> bool:
    """Whether a key may stand in a report: not beside secrets, and not if it could be one."""
    return _SHOWN_KEY.fullmatch(key) is not None and _SECRET_PLACE.search(parent) is None
