"""What does a call cost that is paid for: ask, be told the price, reserve, sign, ask again?"""

from contextlib import ExitStack

from tests.bench import daemon
from tests.bench.plan import Plan
from tests.bench.relaying import Run, calls
from tests.bench.report import Row, Table, spread, take_turns, times

PART = "paying"
CONNECTIONS = (1, 16)
_SETTLED = 'farebox_payments_total{state="settled"}'
_NOTES = """\
A call is a POST of 2 kB. By hand it is the same two requests to the provider on one connection, the
second with a header as long as a payment, which nobody made. Through farebox it is one request, and
the daemon does the rest, a durable reservation under seven caps included. Every call was settled in
its ledger."""


def measure(plan: Plan) -> list[Table]:
    """Buy the same thing again and again, by hand and through the daemon."""
    with ExitStack() as stack:
        provider = stack.enter_context(daemon.provider(plan.folder("provider")))
        farebox = stack.enter_context(daemon.farebox(plan.folder("farebox"), provider.port))
        ways = {}
        for count in CONNECTIONS:
            ways[f"by hand {count}"] = calls(provider, "paid-by-hand", count, plan)
            ways[f"farebox {count}"] = calls(farebox, "paid", count, plan)
        found = take_turns(plan.rounds, ways)
        _check_settled(found, farebox.metric(_SETTLED))
    rows = [
        Row(f"{who}, {count} at a time", _cells(found, who, count))
        for count in CONNECTIONS
        for who in ("by hand", "farebox")
    ]
    columns = ("calls, of by hand", "calls per second", "p50 ms", "CPU ms per call", "core busy")
    return [Table("Paid calls", PART, columns, tuple(rows), _NOTES)]


def _check_settled(found: dict[str, list[Run]], settled: float) -> None:
    """What was measured must have been payments."""
    made = sum(run.seen.calls for way, runs in found.items() if "farebox" in way for run in runs)
    if made != settled:
        raise RuntimeError(f"{made} calls were paid for, and {settled:.0f} of them are settled")


def _cells(found: dict[str, list[Run]], who: str, count: int) -> tuple[str, ...]:
    runs, by_hand = found[f"{who} {count}"], found[f"by hand {count}"]
    rates = [run.seen.per_s for run in runs]
    cells = (
        times(rates, [run.seen.per_s for run in by_hand]),
        spread(rates),
        spread([run.seen.p50_ms for run in runs]),
    )
    if who == "by hand":
        return cells
    return *cells, spread([run.cpu_us / 1000 for run in runs]), spread([r.busy for r in runs])
