"""What does a call cost that nobody pays for?"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.bench import daemon, load, machine
from tests.bench.daemon import Server
from tests.bench.plan import Plan
from tests.bench.report import NOT_INSTALLED, Row, Table, spread, take_turns, times

PART = "relaying"
_NOTES = """\
Direct is the load and the provider alone, on the one core that they share in the other rows too.
"Core busy" is how busy the proxy's core was: near 1 the proxy was the limit, below it the load was,
and then CPU per call compares better than calls per second. nginx is one process that streams both
ways; both write a line of log per request."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the load saw, and what the server's process used meanwhile."""

    seen: load.Seen
    cpu_s: float

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per call."""
        return self.cpu_s / self.seen.calls * 1e6

    @property
    def busy(self) -> float:
        """How much of a core the server used while the load was on."""
        return self.cpu_us * self.seen.per_s / 1e6


def measure(plan: Plan) -> list[Table]:
    """Relay small calls: many GETs at a time, and POSTs one after the other."""
    with relays(plan) as servers:
        gets = take_turns(plan.rounds, {s.name: calls(s, "get", 32, plan) for s in servers})
        posts = take_turns(plan.rounds, {s.name: calls(s, "post", 1, plan) for s in servers})
    return [
        Table(
            "Free calls: GET, 32 connections",
            PART,
            ("calls, of direct", "calls per second", "p50 ms", "CPU µs per call", "core busy"),
            tuple(_rows(gets, _get_cells)),
        ),
        Table(
            "Free calls: POST of 2 kB, one connection",
            PART,
            ("p50, of direct", "p50 ms", "p99 ms", "CPU µs per call", "core busy"),
            tuple(_rows(posts, _post_cells)),
            _NOTES,
        ),
    ]


@contextmanager
def relays(plan: Plan) -> Iterator[list[Server]]:
    """Run the provider, nginx where it is installed, and farebox."""
    with ExitStack() as stack:
        direct = stack.enter_context(daemon.provider(plan.folder("provider")))
        servers = [direct]
        if machine.nginx_path() is not None:
            servers.append(stack.enter_context(daemon.nginx(plan.folder("nginx"), direct.port)))
        servers.append(stack.enter_context(daemon.farebox(plan.folder("farebox"), direct.port)))
        yield servers


def calls(server: Server, call: str, connections: int, plan: Plan) -> Callable[[], Run]:
    """Make calls to a server, when asked to."""

    def run() -> Run:
        before = machine.cpu_s(server.pid)
        seen = load.run(call, server.port, connections, plan.load_s)
        return Run(seen, machine.cpu_s(server.pid) - before)

    return run


def _rows(found: dict[str, list[Run]], cells: "Cells") -> Iterator[Row]:
    for name in ("direct", "nginx", "farebox"):
        if name in found:
            proxied = name != "direct"
            yield Row(name, cells(found[name], found["direct"], proxied=proxied))
        else:
            yield Row(name, (NOT_INSTALLED,))


Cells = Callable[..., tuple[str, ...]]


def _get_cells(runs: list[Run], direct: list[Run], *, proxied: bool) -> tuple[str, ...]:
    rates, base = [r.seen.per_s for r in runs], [r.seen.per_s for r in direct]
    p50 = spread([r.seen.p50_ms for r in runs])
    return (times(rates, base), spread(rates), p50, *(_cpu(runs) if proxied else ()))


def _post_cells(runs: list[Run], direct: list[Run], *, proxied: bool) -> tuple[str, ...]:
    p50, base = [r.seen.p50_ms for r in runs], [r.seen.p50_ms for r in direct]
    p99 = spread([r.seen.p99_ms for r in runs])
    return (times(p50, base), spread(p50), p99, *(_cpu(runs) if proxied else ()))


def _cpu(runs: list[Run]) -> tuple[str, str]:
    return spread([r.cpu_us for r in runs]), spread([r.busy for r in runs])
