"""Nodes differ: in tags, in how many blocks and how many questions they take at a time."""

import traceback
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.chain.reads import QUESTIONS_MAX, SPAN_FIRST, SPAN_MAX, Chain
from proxy.chain.rpc import ChainUnavailableError, Node, Trouble, open_session
from proxy.core.x402.assets import BUILT_IN
from proxy.core.x402.eip3009 import Block
from tests.chain.conftest import DEADLINE_S
from tests.chain.node import (
    BLOCK_S,
    FIRST,
    NETWORK,
    FakeNode,
    RpcError,
    hanging_up,
    running,
    stalling,
)
from tests.store.books import START, USDC, WALLET

ASSET = next(asset for asset in BUILT_IN if asset.network == NETWORK)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """What nodes are asked through."""
    async with open_session() as session:
        yield session


@pytest.fixture
def chain(session: aiohttp.ClientSession, node: FakeNode) -> Chain:
    """The node's chain."""
    return Chain(Node(session, node.url), NETWORK)


def at(number: int) -> Block:
    """A block of the node's chain."""
    return Block(number, number.to_bytes(32), START + (number - FIRST) * BLOCK_S)


async def test_safe_block(chain: Chain, node: FakeNode) -> None:
    """One exchange gives the safe block, and which chain it is of."""
    assert await chain.safe_block() == at(FIRST)
    assert node.asked == [("eth_chainId", []), ("eth_getBlockByNumber", ["safe", False])]
    assert node.exchanges == 1


async def test_finalized_instead(chain: Chain, node: FakeNode) -> None:
    """Where the tag is unknown the finalized block is taken, never the latest."""
    node.safe_tags = ("finalized", "latest")
    assert await chain.safe_block() == at(FIRST - 500)
    node.safe_tags = ("latest",)
    with pytest.raises(ChainUnavailableError, match="no safe block"):
        await chain.safe_block()
    assert not any("latest" in parameters for _, parameters in node.asked)


@pytest.mark.parametrize("span_max", [10_000, 9_999, 2000, 100, 1])
async def test_ranges(chain: Chain, node: FakeNode, span_max: int) -> None:
    """A node that refuses a range is asked for half of it, until it does not."""
    node.span_max = span_max
    node.use(bytes(32), block=FIRST)
    first, last = FIRST - SPAN_FIRST, FIRST - SPAN_FIRST + 3 * min(span_max, 500)
    ranges, end = [], first - 1
    while end < last:
        start = end + 1
        _, end = await chain.log(USDC, WALLET, start, last)
        ranges.append(end - start + 1)
    assert sum(ranges) == last - first + 1
    assert max(ranges) <= span_max
    assert 2 * max(ranges) > min(span_max, last - first + 1)
    refused = node.methods().count("eth_getLogs") - len(ranges)
    assert refused <= 14 + len(ranges) / 2


async def test_ranges_grow(chain: Chain, node: FakeNode) -> None:
    """Where nothing is refused the questions grow, up to a bound."""
    first = node.safe = 5_000_000
    for _ in range(20):
        node.safe = first + 2 * SPAN_MAX
        _, end = await chain.log(USDC, WALLET, first, node.safe)
        first = end + 1
    assert chain.span == SPAN_MAX


async def test_slow_log(session: aiohttp.ClientSession, node: FakeNode) -> None:
    """A log that does not come in time is asked for in smaller pieces the next time."""
    node.spoils = stalling
    chain = Chain(Node(session, node.url, DEADLINE_S), NETWORK)
    with pytest.raises(ChainUnavailableError) as caught:
        await chain.log(USDC, WALLET, FIRST - SPAN_FIRST, FIRST)
    assert caught.value.trouble is Trouble.SLOW
    assert chain.span == SPAN_FIRST // 2
    assert node.exchanges == 1


async def test_block_that_is_too_much(chain: Chain, node: FakeNode) -> None:
    """A node that refuses a single block refuses altogether."""
    node.span_max = 0
    with pytest.raises(ChainUnavailableError, match="error -32005") as caught:
        await chain.log(USDC, WALLET, FIRST - 100, FIRST)
    assert caught.value.trouble is Trouble.REFUSED
    assert node.exchanges <= 8


@pytest.mark.parametrize("questions_max", [100, 41, 40, 20, 3, 2, 1, 0])
async def test_batches(chain: Chain, node: FakeNode, questions_max: int) -> None:
    """Many questions go in as few exchanges as the node allows, and each answer finds its own."""
    node.questions_max = questions_max
    nonces = [bytes([n]) * 32 for n in range(1, 101)]
    for nonce in nonces[::3]:
        node.use(nonce)
    for _ in range(2):
        node.exchanges = 0
        over = await chain.ended(USDC, WALLET, nonces, at(FIRST), ASSET)
        assert [nonce for nonce in nonces if over[nonce]] == nonces[::3]
    size = min(questions_max, QUESTIONS_MAX)
    while size > 1 and QUESTIONS_MAX % size:
        size -= 1
    assert node.exchanges <= (2 * 102 if size <= 1 else -(-102 // (size - 1)))


async def test_batch_refused_in_words(chain: Chain, node: FakeNode) -> None:
    """A node that answers a batch with HTTP 400 is asked one by one."""

    async def spoil(_: web.Request, whole: Any) -> web.StreamResponse:
        if isinstance(whole, list):
            return web.Response(text="one at a time", status=400)
        return web.json_response(whole)

    node.spoils = spoil
    assert await chain.safe_block() == at(FIRST)
    assert node.exchanges == 3


async def test_many_chain_ids(chain: Chain, node: FakeNode) -> None:
    """One by one too, each answer is preceded by the chain's id."""
    node.questions_max = 1
    await chain.safe_block()
    node.asked.clear()
    await chain.times([FIRST - 1, FIRST])
    assert node.methods() == ["eth_chainId", "eth_getBlockByNumber"] * 2


async def test_times(chain: Chain) -> None:
    """Blocks have times; no blocks cost nothing."""
    assert await chain.times([]) == {}
    assert await chain.times([FIRST, FIRST - 7]) == {FIRST: START, FIRST - 7: START - 14}


@pytest.mark.parametrize("seconds", [0, 1, 2, 3, 600, 86_400, 1_900_000])
async def test_block_before(chain: Chain, seconds: int) -> None:
    """A block from before a time is found in few exchanges, not much further back than need be."""
    found = await chain.block_before(START - seconds, at(FIRST))
    assert START - 2 * seconds - 4 * BLOCK_S <= found.time < START - seconds


async def test_block_before_is_at_hand(chain: Chain, node: FakeNode) -> None:
    """A safe block that is old enough itself is not asked about again."""
    assert await chain.block_before(START + 1, at(FIRST)) == at(FIRST)
    assert node.exchanges == 0


async def test_nothing_is_old_enough(chain: Chain) -> None:
    """The first block is as far back as it goes."""
    assert (await chain.block_before(0, at(FIRST))).number == 0


async def test_node_that_is_behind(chain: Chain, node: FakeNode) -> None:
    """Some nodes read a log up to where they are and do not say so: they lack the last block."""
    with pytest.raises(ChainUnavailableError) as caught:
        await chain.log(USDC, WALLET, FIRST, FIRST + 31)
    assert caught.value.trouble is Trouble.BEHIND
    with pytest.raises(ChainUnavailableError) as caught:
        await chain.ended(USDC, WALLET, [bytes(32)], at(FIRST + 31), ASSET)
    assert caught.value.trouble is Trouble.REFUSED
    assert node.span_max > 1


@pytest.mark.parametrize("spoiler", [hanging_up, stalling])
async def test_no_url_in_tracebacks(
    session: aiohttp.ClientSession, node: FakeNode, spoiler: object
) -> None:
    """Neither in the error nor in what is printed of where it came from."""
    node.spoils = spoiler  # type: ignore[assignment] # either fits
    asked = Node(session, node.url, DEADLINE_S)
    with pytest.raises(ChainUnavailableError) as caught:
        await asked.ask(("eth_chainId", []))
    said = "".join(traceback.format_exception(caught.value)) + repr(asked)
    assert "SECRET" not in said
    assert node.url.split("/")[2] not in said


async def test_no_address_in_tracebacks(session: aiohttp.ClientSession) -> None:
    """A host that does not answer is not named: it may be all there is to a key."""
    async with running(FakeNode()) as gone:
        pass
    with pytest.raises(ChainUnavailableError) as caught:
        await Node(session, gone.url).ask(("eth_chainId", []))
    assert caught.value.trouble is Trouble.UNREACHABLE
    said = "".join(traceback.format_exception(caught.value))
    assert gone.url.split("/")[2].split(":")[1] not in said


async def test_one_question(session: aiohttp.ClientSession, node: FakeNode) -> None:
    """A question alone is an object, not a list of one."""
    asked = Node(session, node.url)
    assert await asked.ask(("eth_chainId", [])) == "0x2105"
    node.lies["eth_chainId"] = lambda _: (_ for _ in ()).throw(RpcError("no", -7))
    with pytest.raises(ChainUnavailableError, match="error -7"):
        await asked.ask(("eth_chainId", []))
