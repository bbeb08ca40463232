"""`python -m tests.bench`: measure everything, and write docs/benchmarks.md."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.bench import machine, memory, paying, plan, relaying, reserving, signing, starting
from tests.bench.plan import Plan
from tests.bench.report import Table, document
from tests.rig.process import ROOT

PARTS: Final[dict[str, Callable[[Plan], list[Table]]]] = {
    relaying.PART: relaying.measure,
    paying.PART: paying.measure,
    signing.PART: signing.measure,
    reserving.PART: reserving.measure,
    memory.PART: memory.measure,
    starting.PART: starting.measure,
}
_VAR_TMP: Final = Path("/var/tmp")  # noqa: S108 - what goes there gets an unguessable name
REPORT: Final = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    """Measure what was asked for.

    Only a whole, full run replaces the report; any other one prints.
    """
    words = _words()
    parts = [words.only] if words.only else list(PARTS)
    output = words.output or (None if words.only or words.quick else REPORT)
    os.sched_setaffinity(0, machine.OTHER_CORES)
    facts = machine.facts()
    with tempfile.TemporaryDirectory(dir=_disk(), prefix="farebox-bench-") as home:
        scale = (plan.quick if words.quick else plan.full)(Path(home))
        tables = [table for part in parts for table in _measured(part, scale)]
    text = document(
        tables,
        facts,
        command=" ".join(("python -m tests.bench", *sys.argv[1:])),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        rounds=f"{scale.rounds} rounds ({scale.bulk_rounds} for memory)",
    )
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)
        _say(f"written to {output}")


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="show that it works, and print")
    parser.add_argument("--only", choices=PARTS, help="answer one question, and print")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the report here")
    return parser.parse_args()


def _measured(part: str, scale: Plan) -> list[Table]:
    _say(f"{part} …", end=" ")
    began = time.monotonic()
    tables = PARTS[part](scale)
    _say(f"{time.monotonic() - began:.0f} s")
    return tables


def _disk() -> str | None:
    """A folder that is on a disk; /tmp is often in memory, where durability costs nothing."""
    return None if "TMPDIR" in os.environ or not _VAR_TMP.is_dir() else str(_VAR_TMP)


def _say(text: str, end: str = "\n") -> None:
    sys.stderr.write(text + end)
    sys.stderr.flush()


if __name__ == "__main__":
    main()
