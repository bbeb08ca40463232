"""How much memory does a large body take on its way through?"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench import bulk, daemon, machine
from tests.bench.daemon import Server
from tests.bench.plan import Plan
from tests.bench.report import NOT_INSTALLED, Row, Table, spread, take_turns, times

PART = "memory"
_OK: Final = 200
_NOTES = """\
The greatest resident size (VmHWM) of a fresh process that moves one body, beside what it held
before. Streamed bodies are not held. A body that may be paid for is sent twice, so it waits in a
nameless file: it goes up once from the client and twice to the provider."""

Start = Callable[[Path, int], AbstractContextManager[Server]]
Move = Callable[[int], bulk.Moved]


@dataclass(frozen=True, slots=True)
class Size:
    """What a process held at rest and at most, and how fast it was."""

    rest_mib: float
    peak_mib: float
    mb_s: float

    @property
    def more_mib(self) -> float:
        """What the body added."""
        return self.peak_mib - self.rest_mib


def measure(plan: Plan) -> list[Table]:
    """Move large bodies, each through a fresh process."""
    size, spooled = plan.bulk_bytes, plan.spooled_bytes
    moves: dict[str, tuple[int, Move]] = {
        "down": (size, lambda port: bulk.down(port, f"/free/down/{size}")),
        "up": (size, lambda port: bulk.up(port, "/free/up", size)),
        "up, paid for": (spooled, lambda port: bulk.up(port, "/paid/up", spooled)),
    }
    starts: dict[str, Start] = {"farebox": daemon.farebox}
    if machine.nginx_path() is not None:
        starts = {"nginx": daemon.nginx} | starts
    ways = {}
    with daemon.provider(plan.folder("provider")) as provider:
        for what, (length, move) in moves.items():
            for name, start in starts.items():
                if name == "farebox" or "paid" not in what:
                    ways[f"{name} {what}"] = _through(start, plan, provider.port, length, move)
        found = take_turns(plan.bulk_rounds, ways)
    rows = [
        Row(f"{name}, {length // 10**6} MB {what}", _cells(found, name, what))
        for what, (length, _) in moves.items()
        for name in ("nginx", "farebox")
        if f"{name} {what}" in found or what != "up, paid for"
    ]
    columns = ("peak, of nginx's", "peak MiB", "at rest MiB", "added MiB", "MB per second")
    return [Table("Memory", PART, columns, tuple(rows), _NOTES)]


def _through(
    start: Start, plan: Plan, upstream: int, length: int, move: Move
) -> Callable[[], Size]:
    def run() -> Size:
        with start(plan.folder("bulk"), upstream) as server:
            rest = machine.memory_mib(server.pid, "VmRSS")
            moved = move(server.port)
            if moved.status != _OK:
                raise RuntimeError(f"a large body was answered {moved.status}")
            peak = machine.memory_mib(server.pid, "VmHWM")
        return Size(rest, peak, length / 10**6 / moved.seconds)

    return run


def _cells(found: dict[str, list[Size]], name: str, what: str) -> tuple[str, ...]:
    sizes, nginx = found.get(f"{name} {what}"), found.get(f"nginx {what}")
    if sizes is None:
        return (NOT_INSTALLED,)
    peaks = [size.peak_mib for size in sizes]
    return (
        "" if nginx is None else times(peaks, [size.peak_mib for size in nginx]),
        spread(peaks),
        spread([size.rest_mib for size in sizes]),
        spread([size.more_mib for size in sizes]),
        spread([size.mb_s for size in sizes]),
    )
