"""A node and a ledger to hold against each other."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from proxy.chain.reconciler import Pace, Reconciler, Standing
from proxy.core.config import Config
from proxy.core.ledger import Evidence, State
from proxy.core.money import Usd
from proxy.store import Reserved
from tests.chain.node import NETWORK, FakeNode, running
from tests.core.parts import config
from tests.rig.chain import Chain, running_chain
from tests.store.books import WALLET, Books, opened

E = Evidence
DEADLINE_S = 0.1
"""For a node that never answers."""


def with_node(url: str | None, network: str = NETWORK) -> Config:
    """A config in which a network has a node, or none."""
    return config(networks={network: {} if url is None else {"rpc_url": url}})


@dataclass
class Watch:
    """A ledger, a node and who reconciles them; `changes` is what the latter said it changed."""

    books: Books
    config: Config
    wallet: str | None = WALLET
    network: str = NETWORK
    reconciler: Reconciler = field(init=False)
    changes: list[tuple[State, int]] = field(default_factory=list)

    def begin(self, pace: Pace | None = None) -> None:
        """Begin anew, as after a restart."""
        self.reconciler = Reconciler(
            lambda: self.config,
            lambda: self.wallet,
            self.books.ledger,
            self.books.clock,
            self._changed,
            pace=pace or Pace(),
            jitter=lambda: 0.5,
        )

    async def begin_again(self, pace: Pace | None = None) -> None:
        """Stop, and begin anew."""
        await self.reconciler.close()
        self.begin(pace)

    async def look(self) -> Standing:
        """Look once; how the node stands afterwards."""
        await self.reconciler.look(self.network)
        return self.reconciler.standings[self.network]

    async def look_well(self) -> Standing:
        """Look once, and nothing may be wrong."""
        standing = await self.look()
        assert standing.trouble is None, standing
        return standing

    async def signed(self, usd: int = 50, *story: Evidence, **changes: Any) -> Reserved:
        """An authorization that is out, its outcome unknown if no story is told."""
        held = await self.books.bought(usd, **{"watched": True, **changes})
        await self.books.become(held, *(story or (E.SENT, E.NO_RECEIPT)))
        return held

    async def state(self, held: Reserved) -> State | None:
        """What became of it."""
        return await self.books.ledger.state_of(held.payment)

    async def nonce(self, held: Reserved) -> bytes:
        """Its nonce."""
        return bytes(await self.column(held, "nonce"))

    async def column(self, held: Reserved, name: str) -> Any:
        """A column of its row."""
        row = await self.books.ledger.read(
            lambda db: db.execute(f"SELECT {name} FROM hold WHERE id = ?", (held.hold,)).fetchone()  # noqa: S608 - a name that stands in a test
        )
        return row[0]

    async def payment(self, held: Reserved, name: str) -> Any:
        """A column of its payment."""
        row = await self.books.ledger.read(
            lambda db: db.execute(
                f"SELECT {name} FROM payment WHERE id = ?",  # noqa: S608 - a name that stands in a test
                (held.payment,),
            ).fetchone()
        )
        return row[0]

    def _changed(self, state: State, usd: Usd) -> None:
        self.changes.append((state, usd))


@pytest.fixture
async def node() -> AsyncIterator[FakeNode]:
    """An honest node, until told otherwise."""
    async with running(FakeNode()) as node:
        yield node


@pytest.fixture
async def watch(node: FakeNode, tmp_path: Path) -> AsyncIterator[Watch]:
    """A fresh ledger that reconciles with the node."""
    async with opened(tmp_path) as books:
        watch = Watch(books, with_node(node.url))
        watch.begin()
        yield watch
        await watch.reconciler.close()


@pytest.fixture(scope="session")
def own_chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A real chain whose clock may be moved: nobody else uses it."""
    with running_chain(tmp_path_factory.mktemp("own_chain") / "anvil.log") as chain:
        yield chain


Passing = Callable[[float], None]


@pytest.fixture
def passing(watch: Watch, node: FakeNode) -> Passing:
    """Let time pass, for the ledger and for the chain."""

    def passing(seconds: float) -> None:
        watch.books.clock.now += seconds
        node.safe_at(watch.books.clock.now)

    return passing
