"""How things look on a terminal: aligned columns, short hashes, times, dollars."""

import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

GAP = "  "
_HASH_HEAD = 6
_HASH_TAIL = 4


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Align columns under a header; those whose numbers are in `right` end flush.

    What would move the cursor is shown as `?`: providers have a say in some of these texts.
    """
    to_the_right = frozenset(right)
    lines = [tuple(map(printable, line)) for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def cell(index: int, text: str) -> str:
        return text.rjust(widths[index]) if index in to_the_right else text.ljust(widths[index])

    return "\n".join(GAP.join(cell(*pair) for pair in enumerate(line)).rstrip() for line in lines)


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Write names and values, the values aligned."""
    known = [(name, printable(value)) for name, value in rows]
    width = max((len(name) for name, _ in known), default=0)
    return "\n".join(f"{name.ljust(width)}{GAP}{value}".rstrip() for name, value in known)


def printable(text: str) -> str:
    """A text without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shown_command(*words: str) -> str:
    """A command that a person can paste, whatever is in its words."""
    return printable(shlex.join(words))


def warned(text: str, warnings: Iterable[str]) -> str:
    """A text with what to be wary of below it."""
    return "\n".join([text, *(f"WARNING: {printable(warning)}" for warning in warnings)])


def short(hash_: str) -> str:
    """The beginning and the end of an address, a hash or an id: `0x9f3a…12cd`."""
    if len(hash_) <= _HASH_HEAD + _HASH_TAIL + 1:
        return hash_
    return f"{hash_[:_HASH_HEAD]}…{hash_[-_HASH_TAIL:]}"


def dollars(text: str) -> str:
    """Dollars as people write them."""
    return f"${text}"


def local_time(at: int) -> str:
    """A time in the zone of whoever reads it, to the second."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def utc_time(at: int) -> str:
    """A time for programs, as ISO 8601 writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
