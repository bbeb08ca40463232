"""What does it cost to count a payment before it is signed, and does it grow with the ledger?"""

import asyncio
import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from proxy.app import new_payment_id
from proxy.core.ledger import WINDOWS, Evidence, Limit
from proxy.core.money import Usd
from proxy.store import Hold, Intent, Ledger, Reserved
from tests.bench import machine
from tests.bench.daemon import KEY
from tests.bench.plan import Plan
from tests.bench.report import Row, Table, spread, take_turns, times
from tests.exchange.provider import NETWORK, PAYEE, USDC

PART = "reserving"
WAITING = (1, 32)
_ROUND_MAX_S = 1.0
_LIFETIME_S = 300
_FILL_BATCH = 200
_FILL_SPAN_S = 30 * 86_400
_SCOPES = ("all", "provider:shop", "route:/shop/*")
_WALLET = "0x" + KEY[-40:]
_PLENTY = Usd(10**15)
_LIMITS = (
    *(Limit("all", each, _PLENTY) for each in ("per_request", *WINDOWS, "total", "outstanding")),
    Limit("provider:shop", "day", _PLENTY),
)
_NOTES = """\
`Ledger.reserve` on a file, under {limits} caps and counted in three scopes; it returns when the
hold is on the disk. The {recorded:,} recorded payments are settled and lie in the last 30 days; it
took {filled:.1f} s to record them. Writing 4 kB and waiting for the disk (`fdatasync`) takes
{sync:.2f} ms here, and what reserves alone cannot be faster than that."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What reserving came to."""

    per_s: float
    p50_ms: float


class Clock:
    """Tells the time, or the time that it is set to."""

    def __init__(self) -> None:
        self.at: float | None = None

    def __call__(self) -> float:
        """Unix seconds."""
        return time.time() if self.at is None else self.at


def measure(plan: Plan) -> list[Table]:
    """Reserve one after the other and many at a time, on an empty and on a full ledger."""
    folder = plan.folder("full-ledger")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        clock = Clock()
        ledger = runner.run(Ledger.open(folder, clock))
        began = time.perf_counter()
        runner.run(_fill(ledger, clock, plan.recorded))
        filled_s = time.perf_counter() - began
        ways = {
            f"{kind} {waiting}": _way(runner, full, waiting, plan)
            for waiting in WAITING
            for kind, full in (("empty", None), ("full", ledger))
        }
        with machine.on(machine.ALL_CORES):
            found = take_turns(plan.rounds, ways)
        runner.run(ledger.close())
    return [_table(found, plan, filled_s)]


def _way(
    runner: asyncio.Runner, ledger: Ledger | None, waiting: int, plan: Plan
) -> Callable[[], Pace]:
    """Reserve on a ledger, or each time on an empty one."""

    def run() -> Pace:
        if ledger is None:
            return runner.run(_on_empty(plan.folder("ledger"), waiting, plan))
        return runner.run(_reserve_many(ledger, waiting, plan))

    return run


def _table(found: dict[str, list[Pace]], plan: Plan, filled_s: float) -> Table:
    names = {"empty": "empty ledger", "full": f"{plan.recorded:,} payments"}
    rows = []
    for waiting in WAITING:
        base = [pace.p50_ms for pace in found[f"empty {waiting}"]]
        for key, name in names.items():
            paces = found[f"{key} {waiting}"]
            p50 = [pace.p50_ms for pace in paces]
            cells = (times(p50, base), spread(p50), spread([pace.per_s for pace in paces]))
            rows.append(Row(f"{name}, {waiting} waiting", cells))
    notes = _NOTES.format(
        limits=len(_LIMITS),
        recorded=plan.recorded,
        filled=filled_s,
        sync=machine.sync_ms(plan.folder("sync")),
    )
    columns = ("p50, of empty", "p50 ms", "reservations per second")
    return Table("Reserving", PART, columns, tuple(rows), notes)


async def _fill(ledger: Ledger, clock: Clock, count: int) -> None:
    """Record settled payments, evenly over the last month, through the ledger's own door."""
    batches = count // _FILL_BATCH
    now = time.time()
    for index in range(batches):
        clock.at = now - _FILL_SPAN_S * (batches - index) / batches
        reserved = await asyncio.gather(
            *(_reserve(ledger, clock(), ()) for _ in range(_FILL_BATCH))
        )
        await asyncio.gather(*(ledger.resolve(each, Evidence.RECEIPT) for each in reserved))
    clock.at = None


async def _on_empty(folder: Path, waiting: int, plan: Plan) -> Pace:
    ledger = await Ledger.open(folder, time.time)
    try:
        return await _reserve_many(ledger, waiting, plan)
    finally:
        await ledger.close()


async def _reserve_many(ledger: Ledger, waiting: int, plan: Plan) -> Pace:
    """Reserve with so many waiting at any time, for a while or until it is enough."""
    took: list[float] = []
    began = time.perf_counter()

    async def customer() -> None:
        while len(took) < plan.reserve_max and time.perf_counter() - began < _ROUND_MAX_S:
            asked = time.perf_counter()
            await _reserve(ledger, time.time(), _LIMITS)
            took.append(time.perf_counter() - asked)

    await asyncio.gather(*(customer() for _ in range(waiting)))
    return Pace(len(took) / (time.perf_counter() - began), statistics.median(took) * 1000)


async def _reserve(ledger: Ledger, now: float, limits: tuple[Limit, ...]) -> Reserved:
    intent = Intent(
        payment=new_payment_id(),
        client=None,
        provider="shop",
        route="/shop/*",
        method="POST",
        path="/shop/v1/thing",
        body_sha256=bytes(32),
    )
    hold = Hold(
        amount=10_000,
        usd=Usd(10_000),
        decimals=6,
        network=NETWORK,
        asset=USDC,
        pay_to=PAYEE,
        wallet=_WALLET,
        nonce=secrets.token_bytes(32),
        valid_after=0,
        valid_before=int(now) + _LIFETIME_S,
        scopes=_SCOPES,
        terms="{}",
        pin=True,
    )
    verdict = await ledger.reserve(intent, hold, limits)
    if not isinstance(verdict, Reserved):
        raise TypeError(verdict)
    return verdict
