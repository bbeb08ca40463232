"""What a person sees while a command waits: one line, drawn in place, and the pace of looking."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from typing import Final, TextIO

from proxy.cli.common import Settings
from proxy.cli.layout import printable
from proxy.cli.talk import Answer

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as shells have it."""

PACE_S: Final = 5
PACE_S_MAX: Final = 900
"""The pace where no `Retry-After` sets one, and the slowest that one can set."""

TICK_S: Final = 0.2
"""How often the line on a terminal is drawn anew."""


@dataclass(slots=True)
class Line:
    """What is known of a thing: drawn in place on a terminal, elsewhere told when it is new.

    Without a stream it keeps quiet. `since` is when the thing began, by the clock on the wall.
    """

    label: str
    since: float
    stream: TextIO | None
    frames: Iterator[str]
    told: str = ""

    def show(self, news: str) -> None:
        """Show what is known by now."""
        if self.stream is None:
            return
        text = f"{printable(self.label)}  {printable(news)}  {_age(self.since)}"
        if self.stream.isatty():
            self._draw(f"{next(self.frames)} {text}")
        elif news != self.told:
            self.stream.write(f"{text}\n")
            self.stream.flush()
        self.told = news

    def wait(self, news: str, wait_s: float) -> None:
        """Show what is known for some seconds."""
        until = time.monotonic() + wait_s
        while (left_s := until - time.monotonic()) > 0:
            self.show(news)
            time.sleep(min(left_s, TICK_S))

    def wipe(self) -> None:
        """Clear the line off a terminal: what comes next begins where it began."""
        if self.told and self.stream is not None and self.stream.isatty():
            self._draw("", end="\r")

    def _draw(self, text: str, end: str = "") -> None:
        """Write over the line; one that is as wide as the terminal would break."""
        width = shutil.get_terminal_size().columns - 1
        assert self.stream is not None  # noqa: S101 - both callers have looked
        self.stream.write(f"\r{text[:width].ljust(width)}{end}")
        self.stream.flush()


def watchers_stream(settings: Settings) -> TextIO | None:
    """Where a waiting person looks: stdout, which for programs is kept for the end.

    A terminal on stderr may look on then.
    """
    if not settings.json:
        return sys.stdout
    return sys.stderr if sys.stderr.isatty() else None


@contextmanager
def line_of(settings: Settings, label: str, since: float) -> Iterator[Line]:
    """A line for as long as a command waits; it is gone afterwards."""
    line = Line(label, since, watchers_stream(settings), cycle("|/-\\"))
    try:
        yield line
    finally:
        line.wipe()


def pace_s(answer: Answer) -> float:
    """How long to wait before the next look."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return max(1, min(int(said[:9]), PACE_S_MAX))
    return PACE_S


def _age(since: float) -> str:
    return str(timedelta(seconds=max(0, int(time.time() - since))))
