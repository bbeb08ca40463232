"""Reconciling the ledger with the chain, as long as the daemon runs, where a node is configured.

Here is when to look and what to say of the node; `proxy.chain.lookout` is one look. A node that
cannot be believed costs nothing but time: what is open stays counted, and the next attempt comes
later and later. Without a node nothing happens at all, and everything stays counted until it leaves
its windows.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import Final

import structlog

from proxy.chain.lookout import Lookout, Outlook
from proxy.chain.reads import Chain
from proxy.chain.rpc import DEADLINE_S, ChainUnavailableError, Node, Trouble, open_session
from proxy.core.config import Config
from proxy.core.ledger import State
from proxy.core.money import Usd
from proxy.store import Ledger, LedgerUnavailableError

DOUBLINGS_MAX: Final = 16
_log = structlog.get_logger()
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Pace:
    """How long after a look the next one comes, in seconds.

    While something is open; else, to notice theft; where more of the log is to be read; and after
    a failure, doubling up to a maximum. `deadline_s` bounds one exchange with a node.
    """

    busy_s: float = 15
    idle_s: float = 60
    more_s: float = 1
    retry_s: float = 5
    retry_max_s: float = 300
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True)
class Standing:
    """How a network's node is doing. Times are Unix seconds, None for never.

    `trouble` and `message` say why nothing is concluded, since when; the safe block is the last
    one that was believed. There is no URL in it.
    """

    trouble: Trouble | None = None
    message: str = ""
    trouble_since: float | None = None
    last_ok: float | None = None
    safe_block: int | None = None
    safe_time: int | None = None


class Reconciler:
    """Asks the chain what became of what was signed.

    `config` and `wallet` give what is in force at the moment; `clock` gives Unix seconds;
    `changed` hears of each state that the chain changed, with the dollars it is about; `jitter`
    gives numbers from 0 to 1.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        wallet: Callable[[], str | None],
        ledger: Ledger,
        clock: Callable[[], float],
        changed: Callable[[State, Usd], None],
        *,
        pace: Pace | None = None,
        jitter: Callable[[], float] = _random.random,
    ) -> None:
        self._config = config
        self._wallet = wallet
        self._ledger = ledger
        self._clock = clock
        self._changed = changed
        self._pace = Pace() if pace is None else pace
        self._jitter = jitter
        self._session = open_session()
        self._lookouts: dict[str, tuple[str, Lookout]] = {}
        self._standings: dict[str, Standing] = {}
        self._failures: dict[str, int] = {}
        self._next: dict[str, float] = {}
        self._poked = asyncio.Event()

    @property
    def standings(self) -> dict[str, Standing]:
        """How the nodes of the networks that have one are doing, as far as they were asked yet."""
        nodes = self._nodes()
        return {network: known for network, known in self._standings.items() if network in nodes}

    async def run(self) -> None:
        """Look at each network at its pace, until cancelled."""
        while True:
            if self._poked.is_set():
                self._poked.clear()
                self._next.clear()
            async with asyncio.TaskGroup() as looks:
                for network in self._due():
                    looks.create_task(self.look(network))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._wake_at()):
                    await self._poked.wait()

    def poke(self) -> None:
        """Look at everything now, whatever the pace: a config or an outcome is new."""
        self._poked.set()

    async def look(self, network: str) -> None:
        """Look at one network once; what is wrong with its node is in `standings` afterwards."""
        lookout = self._lookout(network)
        if lookout is None:
            return
        try:
            outlook = await lookout.look(self._config().assets, self._wallet())
        except ChainUnavailableError as problem:
            self._failed(network, problem.trouble, str(problem))
        except LedgerUnavailableError:
            self._failed(network, Trouble.LEDGER, "the ledger cannot be written")
        else:
            self._succeeded(network, outlook)

    async def close(self) -> None:
        """Close the connections. Whoever runs `run` has cancelled it before."""
        await self._session.close()

    def _nodes(self) -> dict[str, str]:
        """The networks that have a node, with its URL."""
        networks = self._config().networks
        return {name: facts.rpc_url for name, facts in networks.items() if facts.rpc_url}

    def _lookout(self, network: str) -> Lookout | None:
        """The network's lookout, if it has a node: a new one where that is another by now."""
        url = self._nodes().get(network)
        if url is None:
            return None
        known = self._lookouts.get(network)
        if known is not None and known[0] == url:
            return known[1]
        node = Node(self._session, url, self._pace.deadline_s)
        chain = Chain(node, network)
        lookout = Lookout(network, chain, self._ledger, self._clock, self._changed)
        self._lookouts[network] = url, lookout
        return lookout

    def _due(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        return [network for network in self._nodes() if self._next.get(network, now) <= now]

    def _wake_at(self) -> float:
        """When the next look is due, by the loop's clock."""
        now = asyncio.get_running_loop().time()
        times = [self._next.get(network, now) for network in self._nodes()]
        return min(times, default=now + self._pace.idle_s)

    def _wait(self, network: str, seconds: float) -> None:
        self._next[network] = asyncio.get_running_loop().time() + seconds

    def _succeeded(self, network: str, outlook: Outlook) -> None:
        before = self._standings.get(network, Standing())
        if before.trouble is not None:
            _log.info("chain_back", network=network, after_s=self._ago(before.trouble_since))
        now, safe = self._clock(), outlook.safe
        self._standings[network] = Standing(
            last_ok=now, safe_block=safe.number, safe_time=safe.time
        )
        self._failures[network] = 0
        pace = self._pace
        usual_s = pace.busy_s if outlook.urgent else pace.idle_s
        self._wait(network, pace.more_s if outlook.more else usual_s)

    def _failed(self, network: str, trouble: Trouble, message: str) -> None:
        before = self._standings.get(network, Standing())
        if before.trouble is not trouble:
            _log.warning(
                "chain_unavailable",
                network=network,
                trouble=trouble.value,
                message=message,
                meanwhile="what is open stays counted",
            )
        since = self._clock() if before.trouble is None else before.trouble_since
        self._standings[network] = replace(
            before, trouble=trouble, message=message, trouble_since=since
        )
        failures = self._failures.get(network, 0)
        self._failures[network] = min(failures + 1, DOUBLINGS_MAX)
        backoff_s = min(self._pace.retry_max_s, self._pace.retry_s * 2**failures)
        self._wait(network, backoff_s * (0.5 + self._jitter()))

    def _ago(self, since: float | None) -> int:
        return 0 if since is None else round(self._clock() - since)
