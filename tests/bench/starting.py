"""How long does it take to be ready, and does it grow with the ledger?"""

import http.client
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import daemon, machine
from tests.bench.daemon import Server
from tests.bench.plan import Plan
from tests.bench.report import NOT_INSTALLED, Row, Table, spread, take_turns, times
from tests.bench.reserving import recorded

PART = "starting"
_PYTHON = "python -c pass"
_EMPTY = "farebox, empty ledger"
_PAGES = ("/-/status", "/metrics")
_NOTES = """\
From the start of the process to its first good answer (`/readyz`, or a relayed call for nginx),
asked for every millisecond, with compiled modules; the first start is not counted. First pages are
the first answers to {pages}, one after the other. The file of the long ledger was read or written
shortly before, so that the disk's own speed is not in it."""


@dataclass(frozen=True, slots=True)
class Began:
    """How long it took to be ready, and then to show the first pages, where there are any."""

    ready_ms: float
    pages_ms: float | None = None


def measure(plan: Plan) -> list[Table]:
    """Start farebox, nginx and a bare interpreter."""
    full = f"farebox, {plan.recorded:,} payments"
    with daemon.provider(plan.folder("provider")) as provider:
        ways: dict[str, Callable[[], Began]] = {_PYTHON: _python}
        if machine.nginx_path() is not None:
            ways["nginx"] = _start(daemon.nginx, plan, provider.port)
        ways[_EMPTY] = _start(daemon.farebox, plan, provider.port)
        ways[full] = _start(_with_ledger(recorded(plan, plan.recorded)), plan, provider.port)
        for name in (_EMPTY, full):
            ways[name]()
        found = take_turns(plan.rounds, ways)
    rows = [Row(name, _cells(found, name)) for name in (_PYTHON, "nginx", _EMPTY, full)]
    columns = (f"time, of `{_PYTHON}`", "ms", "first pages ms")
    notes = _NOTES.format(pages=" and ".join(f"`{page}`" for page in _PAGES))
    return [Table("Starting", PART, columns, tuple(rows), notes)]


def _cells(found: dict[str, list[Began]], name: str) -> tuple[str, ...]:
    starts = found.get(name)
    if starts is None:
        return (NOT_INSTALLED,)
    took = [began.ready_ms for began in starts]
    pages = [began.pages_ms for began in starts if began.pages_ms is not None]
    cells = (times(took, [began.ready_ms for began in found[_PYTHON]]), spread(took))
    return (*cells, spread(pages)) if pages else cells


def _start(
    start: Callable[[Path, int], AbstractContextManager[Server]], plan: Plan, upstream: int
) -> Callable[[], Began]:
    def run() -> Began:
        with start(plan.folder("start"), upstream) as server:
            pages_ms = None if server.name == "nginx" else _pages_ms(server.port)
            return Began(server.start_s * 1000, pages_ms)

    return run


def _with_ledger(folder: Path) -> Callable[[Path, int], AbstractContextManager[Server]]:
    """Start farebox on a ledger that is lent to it."""

    @contextmanager
    def start(home: Path, upstream: int) -> Iterator[Server]:
        state = home / "state"
        shutil.move(folder, state)
        try:
            with daemon.farebox(home, upstream) as server:
                yield server
        finally:
            shutil.move(state, folder)

    return start


def _pages_ms(port: int) -> float:
    began = time.perf_counter()
    for page in _PAGES:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=daemon.READY_S)
        connection.request("GET", page)
        response = connection.getresponse()
        response.read()
        connection.close()
        if response.status != http.client.OK:
            raise RuntimeError(f"{page} was answered {response.status}")
    return (time.perf_counter() - began) * 1000


def _python() -> Began:
    with machine.on(machine.PROXY_CORES):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        return Began((time.perf_counter() - began) * 1000)
