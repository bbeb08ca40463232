"""When the chain is looked at, and what is said of a node that is not well."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from proxy.chain.lookout import ATTENTION_S
from proxy.chain.reconciler import Pace, Standing
from proxy.chain.rpc import Trouble
from proxy.core.ledger import State
from tests.chain.conftest import Passing, Watch, with_node
from tests.chain.node import FIRST, NETWORK, FakeNode, running, saying, stalling
from tests.core.parts import config
from tests.rig.process import deadline
from tests.store.books import START

PACE = Pace(busy_s=100, idle_s=1000, more_s=10, retry_s=20, retry_max_s=200, deadline_s=5)
PATIENCE_S = 10
OTHER_NETWORK = "eip155:84532"


@pytest.fixture
async def slow(watch: Watch) -> Watch:
    """A watch whose looks are far apart, so that none comes by itself."""
    await watch.begin_again(PACE)
    return watch


def due_in(watch: Watch) -> float:
    """When the next look is due, in seconds, rounded up to tens."""
    seconds = watch.reconciler._next[NETWORK] - asyncio.get_running_loop().time()
    return -(-seconds // 10) * 10


def looks(node: FakeNode) -> int:
    """How often the node was looked at."""
    return sum(parameters == ["safe", False] for _, parameters in node.asked)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    for _ in deadline(PATIENCE_S):
        if condition():
            break
        await asyncio.sleep(0.005)


@asynccontextmanager
async def run(watch: Watch) -> AsyncIterator[None]:
    """Let it run for as long as the block lasts."""
    task = asyncio.create_task(watch.reconciler.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()


async def test_pace(slow: Watch, node: FakeNode, passing: Passing) -> None:
    """Often while something is open, seldom else, and at once where there is more to read."""
    await slow.look_well()
    assert due_in(slow) == 1000
    held = await slow.signed(50)
    await slow.look_well()
    assert due_in(slow) == 100
    node.use(await slow.nonce(held), 50)
    await slow.look_well()
    await slow.look_well()
    assert due_in(slow) == 1000
    node.span_max = 1
    passing(10_000)
    await slow.look_well()
    assert due_in(slow) == 10


async def test_open_for_long(slow: Watch, node: FakeNode, passing: Passing) -> None:
    """What stays open long after its death is no reason to hurry."""
    held = await slow.signed(50)
    node.use(await slow.nonce(held), 50)
    node.lies["eth_getLogs"] = lambda _: []
    passing(ATTENTION_S + 1000)
    for expected in (10, 1000, 1000):
        await slow.look_well()
        assert due_in(slow) == expected
    assert await slow.state(held) is State.UNKNOWN


async def test_backing_off(slow: Watch, node: FakeNode) -> None:
    """A node in trouble is asked less and less, and as usual once it is well."""
    node.spoils = saying("", 500)
    waits = []
    for _ in range(25):
        await slow.look()
        waits.append(due_in(slow))
    assert waits == [20, 40, 80, 160, *[200] * 21]
    slow.reconciler._jitter = lambda: 0.0
    await slow.look()
    assert due_in(slow) == 100
    node.spoils = None
    await slow.look_well()
    assert due_in(slow) == 1000
    node.spoils = saying("", 500)
    await slow.look()
    assert due_in(slow) == 10


async def test_what_is_said(slow: Watch, node: FakeNode) -> None:
    """Each change is one line, and the standing is there to be read in between."""
    clock = slow.books.clock
    with capture_logs() as lines:
        well = await slow.look()
        clock.now += 10
        for trouble in [saying("", 500), saying("", 429), saying("{")]:
            node.spoils = trouble
            ill = await slow.look()
            clock.now += 10
        node.spoils = None
        await slow.look()
    assert well == Standing(last_ok=START, safe_block=FIRST, safe_time=START)
    assert ill == Standing(
        trouble=Trouble.MALFORMED,
        message="the node's answer is no proper JSON",
        trouble_since=START + 10,
        last_ok=START,
        safe_block=FIRST,
        safe_time=START,
    )
    said = [(line["event"], line.get("trouble"), line["log_level"]) for line in lines]
    assert said == [
        ("chain_unavailable", "http_status", "warning"),
        ("chain_unavailable", "malformed", "warning"),
        ("chain_back", None, "info"),
    ]
    assert lines[-1]["after_s"] == 30


async def test_trouble_from_the_first(slow: Watch, node: FakeNode) -> None:
    """A node that was never well."""
    node.spoils = saying("", 500)
    standing = await slow.look()
    assert (standing.last_ok, standing.trouble_since) == (None, START)


async def test_running(watch: Watch, node: FakeNode) -> None:
    """It looks again and again until it is stopped, through a failure too."""
    await watch.begin_again(Pace(*[0.001] * 5))
    async with run(watch):
        await until(lambda: looks(node) >= 3)
        node.spoils = saying("", 500)
        await until(lambda: watch.reconciler.standings[NETWORK].trouble is not None)
        node.spoils = None
        await until(lambda: watch.reconciler.standings[NETWORK].trouble is None)


async def test_poke(slow: Watch, node: FakeNode) -> None:
    """It looks at once when it is told to, and then at its pace."""
    async with run(slow):
        await until(lambda: bool(slow.reconciler.standings))
        assert looks(node) == 1
        slow.reconciler.poke()
        await until(lambda: looks(node) == 2)


async def test_poke_during_a_look(slow: Watch, node: FakeNode) -> None:
    """What is new while it looks is looked at afterwards."""
    going_on = asyncio.Event()

    async def wait(_: web.Request, whole: Any) -> web.StreamResponse:
        await going_on.wait()
        return web.json_response(whole)

    node.spoils = wait
    async with run(slow):
        await until(lambda: node.exchanges == 1)
        slow.reconciler.poke()
        going_on.set()
        await until(lambda: looks(node) == 2)


async def test_node_that_appears(slow: Watch, node: FakeNode) -> None:
    """A node that the config gets while it runs, and one that it loses."""
    slow.config = with_node(None)
    held = await slow.signed(50, watched=False)
    node.use(await slow.nonce(held), 50)
    async with run(slow):
        slow.config = with_node(node.url)
        slow.reconciler.poke()
        await until(lambda: bool(slow.reconciler.standings))
        assert await slow.state(held) is State.SETTLED
        slow.config = with_node(None)
        assert slow.reconciler.standings == {}
        slow.reconciler.poke()
        async with running(FakeNode(safe=FIRST + 7)) as other:
            slow.config = with_node(other.url)
            slow.reconciler.poke()
            await until(lambda: looks(other) == 1)
    assert looks(node) == 1


async def test_node_that_vanishes(slow: Watch, node: FakeNode) -> None:
    """A network that has lost its node by the time of its look is left alone."""
    slow.config = with_node(None)
    await slow.reconciler.look(NETWORK)
    assert node.exchanges == 0


async def test_networks_do_not_wait_for_each_other(slow: Watch, node: FakeNode) -> None:
    """One network's node that stalls delays no other network's look."""
    node.spoils = stalling
    async with running(FakeNode(chain_id=84532)) as other:
        networks = {NETWORK: {"rpc_url": node.url}, OTHER_NETWORK: {"rpc_url": other.url}}
        slow.config = config(networks=networks)
        async with run(slow):
            await until(lambda: OTHER_NETWORK in slow.reconciler.standings)
            assert NETWORK not in slow.reconciler.standings
