"""Child processes that announce themselves: started, waited for, and gone when the block ends.

Every service of the rig binds port 0 itself and prints one JSON line with the port that it got, so
that no port is ever guessed and nobody waits longer than needed.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
STOP_S = 10.0


@contextmanager
def child(command: Sequence[str | Path], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with its error output in `log`; terminate it, then insist."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield process
    finally:
        stop(process)


@contextmanager
def service(command: Sequence[str | Path], log: Path) -> Iterator[str]:
    """Run a program that prints `{"port": N}` when it listens; yield its URL."""
    with child(command, log) as process:
        yield f"http://127.0.0.1:{announced(process, log)['port']}"


@contextmanager
def python_service(module: str, *arguments: str, log: Path) -> Iterator[str]:
    """Run one of the rig's own modules as a service; yield its URL."""
    with service([sys.executable, "-m", module, *arguments], log) as url:
        yield url


def announced(process: subprocess.Popen[bytes], log: Path) -> Any:
    """Read the first line that a service prints."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline() if ready else b""
    if not line:
        raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text()[-4000:]}")
    return json.loads(line)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End one child that we started, by its id, and leave no zombie and no open pipe."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def environment() -> dict[str, str]:
    """Our environment without coverage's hooks: what is measured is the daemon, not its judges."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")}
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def deadline(seconds: float) -> Iterator[None]:
    """Yield again and again until the time is up, then fail; the loop itself breaks and sleeps."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
    raise TimeoutError(f"not so within {seconds} s")
