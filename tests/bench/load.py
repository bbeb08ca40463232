"""The load: a bare keep-alive client in a process of its own, so that it is not what is measured.

`run` starts it, and hands back what it saw. A call is a sequence of requests on one connection;
each connection makes its next call as soon as it has the answer to the last. A status other than
the expected one ends everything: what is measured is calls that worked.
"""

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from array import array
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

from tests.bench.wire import CALLS, content_length, split_head
from tests.rig.process import ROOT

WARM_S = 0.2
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run saw. `calls` are all, the warm-up's too; the rest is of the time that counts."""

    calls: int
    per_s: float
    p50_ms: float
    p99_ms: float


def run(call: str, port: int, connections: int, seconds: float) -> Seen:
    """Make calls over some connections for some time, from another process."""
    command = [sys.executable, "-m", __name__, call, str(port), str(connections), str(seconds)]
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S + seconds,
    )
    if done.returncode:
        raise RuntimeError(f"the load broke off: {done.stderr[-2000:]}")
    return Seen(**json.loads(done.stdout))


class Tally:
    """Counts calls, and knows when to stop. Times are seconds of `perf_counter`."""

    def __init__(self, connections: int, seconds: float) -> None:
        self._seconds = seconds
        self._from = time.perf_counter() + WARM_S
        self._until = self._from + seconds
        self._open = connections
        self._took = array("d")
        self._calls = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def count(self, began: float) -> bool:
        """Count a call that has just ended, and say whether to make another."""
        now = time.perf_counter()
        self._calls += 1
        if self._from <= now < self._until:
            self._took.append(now - began)
        if now < self._until:
            return True
        self._open -= 1
        if not self._open and not self.ended.done():
            self.ended.set_result(None)
        return False

    def fail(self, why: str) -> None:
        """End the run: something was not as it should be."""
        if not self.ended.done():
            self.ended.set_exception(RuntimeError(why))

    def seen(self) -> Seen:
        """Sum it up."""
        if len(self._took) < 2:
            raise RuntimeError("too few calls to speak of")
        return Seen(
            self._calls,
            len(self._took) / self._seconds,
            statistics.median(self._took) * 1000,
            statistics.quantiles(self._took, n=100)[98] * 1000,
        )


class Caller(asyncio.Protocol):
    """One connection. `steps` are requests and the statuses that they must get."""

    def __init__(self, steps: tuple[tuple[bytes, bytes], ...], tally: Tally) -> None:
        self._steps = steps
        self._tally = tally
        self._buffer = b""
        self._body_left = 0
        self._step = 0
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._call()

    def data_received(self, data: bytes) -> None:
        """Read an answer to its end."""
        if self._body_left:
            self._body_left -= len(data)
        else:
            self._buffer += data
            found = split_head(self._buffer)
            if found is None:
                return
            head, start = found
            if head[9:12] != self._steps[self._step][1]:
                self._tally.fail(f"an unexpected answer: {self._buffer[:1500]!r}")
            self._body_left = content_length(head) - (len(self._buffer) - start)
            self._buffer = b""
        if self._body_left == 0:
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        """Complain, if there was more to come; after the end this says nothing."""
        self._tally.fail(f"a connection was closed: {exc}")

    def _call(self) -> None:
        self._began = time.perf_counter()
        self._step = 0
        self._transport.write(self._steps[0][0])

    def _answered(self) -> None:
        self._step += 1
        if self._step < len(self._steps):
            self._transport.write(self._steps[self._step][0])
        elif self._tally.count(self._began):
            self._call()


async def _drive(call: str, port: int, connections: int, seconds: float) -> Seen:
    steps = tuple((step.on(port), b"%d" % step.status) for step in CALLS[call])
    tally = Tally(connections, seconds)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(steps, tally), "127.0.0.1", port)
    await tally.ended
    return tally.seen()


def _main(call: str, port: str, connections: str, seconds: str) -> None:
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(_drive(call, int(port), int(connections), float(seconds)))
    sys.stdout.write(json.dumps(asdict(seen)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
