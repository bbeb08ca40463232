"""How long does it take to be ready?"""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.bench import daemon, machine
from tests.bench.daemon import Server
from tests.bench.plan import Plan
from tests.bench.report import NOT_INSTALLED, Row, Table, spread, take_turns, times

PART = "starting"
_PYTHON = "python -c pass"
_NOTES = """\
From the start of the process to its first good answer (`/readyz`, or a relayed call for nginx),
asked for every millisecond, with an empty ledger and compiled modules; the first start is not
counted."""


def measure(plan: Plan) -> list[Table]:
    """Start farebox, nginx and a bare interpreter."""
    with daemon.provider(plan.folder("provider")) as provider:
        ways: dict[str, Callable[[], float]] = {_PYTHON: _python}
        if machine.nginx_path() is not None:
            ways["nginx"] = _start(daemon.nginx, plan, provider.port)
        ways["farebox"] = _start(daemon.farebox, plan, provider.port)
        ways["farebox"]()
        found = take_turns(plan.rounds, ways)
    rows = []
    for name in (_PYTHON, "nginx", "farebox"):
        took = found.get(name)
        cells = (NOT_INSTALLED,) if took is None else (times(took, found[_PYTHON]), spread(took))
        rows.append(Row(name, cells))
    columns = (f"time, of `{_PYTHON}`", "ms")
    return [Table("Starting", PART, columns, tuple(rows), _NOTES)]


def _start(
    start: Callable[[Path, int], AbstractContextManager[Server]], plan: Plan, upstream: int
) -> Callable[[], float]:
    def run() -> float:
        with start(plan.folder("start"), upstream) as server:
            return server.start_s * 1000

    return run


def _python() -> float:
    with machine.on(machine.PROXY_CORES):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        return (time.perf_counter() - began) * 1000
