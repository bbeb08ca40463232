"""The report: a table a question, ratios first, each number a median with its least and greatest.

Ratios are taken within a round, between what ran one after the other, and only then is their median
taken; so they say more than the quotient of two medians would.
"""

import statistics
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")
NOT_INSTALLED: Final = "not installed"
_TO: Final = "\N{EN DASH}"
_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_WIDTH: Final = 100
_HOW_TO_READ: Final = """\
Written by `{command}` on {date}. A cell is the median of {rounds}, with the least and the greatest
in brackets. All that a table compares took turns within each round, on loopback, the proxy on one
core and the load with the provider on the others. Ratios are taken within a round; they carry over
to other machines roughly, absolute numbers do not, and where brackets are wide the machine was
busy. There are no targets here, and nothing fails for being slow."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was compared: its name, and a cell for each column after it."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The answer to one question. `part` is what `--only` calls it."""

    title: str
    part: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: str = ""

    def __str__(self) -> str:
        width = len(self.columns)
        lines = [
            f"## {self.title}",
            "",
            f"`python -m tests.bench --only {self.part}`",
            "",
            _line(("", *self.columns)),
            _line(("---", *("---:",) * width)),
        ]
        for row in self.rows:
            blanks = ("",) * (width - len(row.cells))
            lines.append(_line((row.name, *row.cells, *blanks)))
        return "\n".join((*lines, *(("", _filled(self.notes)) if self.notes else ())))


def document(
    tables: Iterable[Table], facts: dict[str, str], *, command: str, date: str, rounds: str
) -> str:
    """The whole report in Markdown."""
    how = _HOW_TO_READ.format(command=command, date=date, rounds=rounds)
    machine = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    return "\n\n".join(("# Benchmarks", _filled(how), machine, *map(str, tables))) + "\n"


def take_turns(rounds: int, ways: dict[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Try every way in every round; each second round runs backwards."""
    found: dict[str, list[T]] = {name: [] for name in ways}
    for index in range(rounds):
        for name in tuple(ways)[:: -1 if index % 2 else 1]:
            found[name].append(ways[name]())
    return found


def spread(values: Sequence[float]) -> str:
    """The median, the least and the greatest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{_number(middle)} ({_number(low)} {_TO} {_number(high)})"


def times(values: Sequence[float], others: Sequence[float]) -> str:
    """How many times the others the values are, round by round."""
    ratios = [value / other for value, other in zip(values, others, strict=True)]
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    return f"**{_number(middle)} {_TIMES}** ({_number(low)} {_TO} {_number(high)})"


def _filled(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    if value == 0:
        return "0"
    for least, decimals in ((100, 0), (10, 1), (0.1, 2)):
        if value >= least:
            return f"{value:,.{decimals}f}"
    return f"{value:.3f}"
