"""Whatever a node does wrong costs time and nothing else: no money comes back by it."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from proxy.chain.reconciler import Pace
from proxy.chain.rpc import ANSWER_BYTES_MAX, Trouble
from proxy.core.ledger import State
from tests.chain.conftest import DEADLINE_S, Passing, Watch, with_node
from tests.chain.node import (
    FIRST,
    FakeNode,
    RpcError,
    Spoiler,
    block,
    breaking_off,
    changing,
    compressing,
    hanging_up,
    saying,
    stalling,
)
from tests.store.books import DEATH_S, START

T = Trouble
HOUR_S = 3600


def answers(**lies: Callable[[list[Any]], Any]) -> Callable[[FakeNode], None]:
    """Lie about some methods."""
    return lambda node: node.lies.update({f"eth_{name}": lie for name, lie in lies.items()})


def refuses(*_: Any) -> Any:
    """Answer with an error."""
    raise RpcError("A-SECRET-KEY has no such method", -32601)


def spoils(spoiler: Spoiler) -> Callable[[FakeNode], None]:
    """Spoil each answer."""
    return lambda node: setattr(node, "spoils", spoiler)


def blocks(**changes: Any) -> Callable[[FakeNode], None]:
    """Lie about each block."""

    def lie(node: FakeNode) -> None:
        def changed(parameters: list[Any]) -> Any:
            return node.honest("eth_getBlockByNumber", parameters) | changes

        node.lies["eth_getBlockByNumber"] = changed

    return lie


def calls(value: Any) -> Callable[[FakeNode], None]:
    """Answer each call of a contract with the same."""
    return answers(call=lambda _: value)


def alternating(node: FakeNode) -> None:
    """Speak for the right chain in the first exchange and for another one afterwards."""
    said = count()
    node.lies["eth_chainId"] = lambda _: hex(8453 if next(said) == 0 else 1)


def forgetful(node: FakeNode) -> None:
    """Know the safe block and no other."""

    def lie(parameters: list[Any]) -> Any:
        known = parameters[0] == "safe"
        return node.honest("eth_getBlockByNumber", parameters) if known else None

    node.lies["eth_getBlockByNumber"] = lie


def forking(node: FakeNode) -> None:
    """Show another block each time."""
    said = count(1)
    blocks_of = node.honest

    def lie(parameters: list[Any]) -> Any:
        return blocks_of("eth_getBlockByNumber", parameters) | {"hash": f"0x{next(said):064x}"}

    node.lies["eth_getBlockByNumber"] = lie


def other_blocks(node: FakeNode) -> None:
    """Show the block after the one that was asked for."""

    def lie(parameters: list[Any]) -> Any:
        after = block(int(parameters[0], 16) + 1) if parameters[0] != "safe" else None
        return after or node.honest("eth_getBlockByNumber", parameters)

    node.lies["eth_getBlockByNumber"] = lie


def first(change: dict[str, Any]) -> Spoiler:
    """Change the first answer of each batch."""
    return changing(lambda whole: [whole[0] | change, *whole[1:]])


DEEP = "[" * 40 + "]" * 40
LIES: dict[str, tuple[Trouble, Callable[[FakeNode], None]]] = {
    "hangs up": (T.UNREACHABLE, spoils(hanging_up)),
    "breaks off": (T.UNREACHABLE, spoils(breaking_off)),
    "stalls": (T.SLOW, spoils(stalling)),
    "too many requests": (T.HTTP_STATUS, spoils(saying("{}", 429))),
    "server error": (T.HTTP_STATUS, spoils(saying("{}", 500))),
    "unauthorized": (T.HTTP_STATUS, spoils(saying("no", 401))),
    "bad request in words": (T.HTTP_STATUS, spoils(saying("no", 400))),
    "redirects": (T.HTTP_STATUS, spoils(saying("", 307, ("Location", "http://127.0.0.1:1/")))),
    "no content": (T.HTTP_STATUS, spoils(saying("", 204))),
    "truncated": (T.MALFORMED, spoils(saying('[{"jsonrpc": "2.0", "id": 0, "res'))),
    "no JSON": (T.MALFORMED, spoils(saying("<html>A-SECRET-KEY</html>"))),
    "compressed": (T.MALFORMED, spoils(compressing)),
    "NaN": (T.MALFORMED, spoils(saying('[{"id": 0, "result": NaN}]'))),
    "deep": (T.MALFORMED, spoils(saying(DEEP))),
    "null": (T.MALFORMED, spoils(saying("null"))),
    "empty": (T.MALFORMED, spoils(saying("[]"))),
    "no objects": (T.MALFORMED, spoils(saying("[1, 2]"))),
    "huge": (T.TOO_LARGE, spoils(saying(b" " * (ANSWER_BYTES_MAX + 1)))),
    "one for many": (T.MALFORMED, spoils(changing(lambda whole: whole[0]))),
    "one too few": (T.MALFORMED, spoils(changing(lambda whole: whole[:-1]))),
    "one too many": (T.MALFORMED, spoils(changing(lambda whole: [*whole, {"id": 9, "result": 1}]))),
    "one twice": (T.MALFORMED, spoils(changing(lambda whole: [*whole, whole[0]]))),
    "other ids": (T.MALFORMED, spoils(first({"id": 7}))),
    "ids in words": (T.MALFORMED, spoils(first({"id": "0"}))),
    "ids that are true": (T.MALFORMED, spoils(first({"id": False}))),
    "ids that are null": (T.MALFORMED, spoils(first({"id": None}))),
    "no result": (T.MALFORMED, spoils(changing(lambda whole: [{"id": w["id"]} for w in whole]))),
    "mixed up": (
        T.MALFORMED,
        spoils(changing(lambda whole: [w | {"id": len(whole) - 1 - w["id"]} for w in whole])),
    ),
    "odd errors": (T.REFUSED, spoils(first({"error": "A-SECRET-KEY"}))),
    "no chain id": (T.REFUSED, answers(chainId=refuses)),
    "another chain": (T.WRONG_CHAIN, answers(chainId=lambda _: "0x1")),
    "another chain at times": (T.WRONG_CHAIN, alternating),
    "chain id in decimals": (T.MALFORMED, answers(chainId=lambda _: 8453)),
    "chain id padded": (T.MALFORMED, answers(chainId=lambda _: "0x02105")),
    "chain id without end": (T.MALFORMED, answers(chainId=lambda _: "0x" + "1" * 5000)),
    "no blocks": (T.REFUSED, answers(getBlockByNumber=refuses)),
    "null blocks": (T.REFUSED, answers(getBlockByNumber=lambda _: None)),
    "blocks without hash": (T.MALFORMED, blocks(hash=None)),
    "blocks with a bad time": (T.MALFORMED, blocks(timestamp="soon")),
    "blocks from the future": (T.AHEAD, blocks(timestamp=hex(START + DEATH_S + HOUR_S + 1))),
    "blocks of long ago": (T.BEHIND, blocks(timestamp=hex(START + DEATH_S - HOUR_S - 1))),
    "blocks that are lists": (T.MALFORMED, answers(getBlockByNumber=lambda _: [])),
    "only the safe block": (T.BEHIND, forgetful),
    "blocks that change": (T.CONTRADICTION, forking),
    "other blocks": (T.MALFORMED, other_blocks),
    "no log": (T.REFUSED, answers(getLogs=refuses)),
    "a log that is null": (T.MALFORMED, answers(getLogs=lambda _: None)),
    "log entries that are none": (T.MALFORMED, answers(getLogs=lambda _: [{}])),
    "no calls": (T.REFUSED, answers(call=refuses)),
    "no contract": (T.MALFORMED, calls("0x")),
    "null calls": (T.MALFORMED, calls(None)),
    "calls of many words": (T.MALFORMED, calls("0x" + "0" * 128)),
    "all zero": (T.WRONG_CHAIN, calls("0x" + "0" * 64)),
}  # fmt: skip


async def test_truth(watch: Watch, passing: Passing) -> None:
    """What died unused is given back when the chain says so (else the lies would prove nothing)."""
    held = await watch.signed(50)
    passing(DEATH_S)
    await watch.look_well()
    assert await watch.state(held) is State.EXPIRED
    assert await watch.books.exposure() == 0


@pytest.mark.parametrize(("trouble", "lie"), LIES.values(), ids=LIES)
async def test_lie(
    watch: Watch,
    node: FakeNode,
    passing: Passing,
    trouble: Trouble,
    lie: Callable[[FakeNode], None],
) -> None:
    """A lie changes nothing and is told once, without the node's URL; the truth gives it back."""
    held = await watch.signed(50)
    await watch.look_well()
    passing(DEATH_S)
    lie(node)
    if trouble is T.SLOW:
        await watch.begin_again(Pace(deadline_s=DEADLINE_S))
    with capture_logs() as lines:
        for _ in range(2):
            assert (await watch.look()).trouble is trouble
            assert await watch.state(held) is State.UNKNOWN
            assert await watch.books.exposure() == 50
    assert [line["trouble"] for line in lines] == [trouble.value]
    assert "SECRET" not in f"{lines} {watch.reconciler.standings}"
    node.spoils = None
    node.lies.clear()
    await watch.begin_again()
    await watch.look_well()
    assert await watch.state(held) is State.EXPIRED


async def test_nobody_there(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """A node that is down."""
    held = await watch.signed(50)
    watch.config = with_node("http://127.0.0.1:1/")
    passing(DEATH_S)
    assert (await watch.look()).trouble is T.UNREACHABLE
    assert await watch.state(held) is State.UNKNOWN
    watch.config = with_node(node.url)
    await watch.look_well()
    assert await watch.state(held) is State.EXPIRED


async def test_node_that_falls_behind(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """A safe block that is older than the last one, before and after a restart."""
    held = await watch.signed(50)
    passing(100)
    await watch.look_well()
    passing(DEATH_S)
    ahead, node.safe = node.safe, FIRST + 49
    assert (await watch.look()).trouble is T.BEHIND
    await watch.begin_again()
    assert (await watch.look()).trouble is T.BEHIND
    assert await watch.state(held) is State.UNKNOWN
    node.safe = ahead
    await watch.look_well()
    assert await watch.state(held) is State.EXPIRED


async def test_safe_block_that_changes(watch: Watch, node: FakeNode) -> None:
    """The same safe block with another hash, or a later one with an earlier time."""
    await watch.look_well()
    blocks(hash="0x" + "9" * 64)(node)
    assert (await watch.look()).trouble is T.CONTRADICTION
    node.safe += 1
    blocks(timestamp=hex(START - 1))(node)
    assert (await watch.look()).trouble is T.CONTRADICTION


async def test_chain_that_hurries(watch: Watch, node: FakeNode) -> None:
    """A chain's clock that is ahead of ours gives nothing back before our own clock does."""
    held = await watch.signed(50)
    node.safe_at(START + HOUR_S - 10)
    await watch.look_well()
    assert await watch.state(held) is State.UNKNOWN
    watch.books.clock.now += DEATH_S - 1
    await watch.look_well()
    assert await watch.state(held) is State.UNKNOWN
    watch.books.clock.now += 1
    await watch.look_well()
    assert await watch.state(held) is State.EXPIRED


async def test_chain_that_dawdles(watch: Watch, node: FakeNode) -> None:
    """Our own clock gives nothing back before the chain's safe block is past `validBefore`."""
    held = await watch.signed(50)
    watch.books.clock.now += DEATH_S + 1000
    for late_s, state in [(1000 + 62, State.UNKNOWN), (1000 + 60, State.EXPIRED)]:
        node.safe_at(watch.books.clock.now - late_s)
        await watch.look_well()
        assert await watch.state(held) is state


async def test_log_that_withholds(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """Over by the contract and not in the log: it stays counted, and is looked for once more."""
    held = await watch.signed(50)
    node.use(await watch.nonce(held), 50)
    node.lies["eth_getLogs"] = lambda _: []
    passing(DEATH_S + 1000)
    with capture_logs() as lines:
        for _ in range(3):
            await watch.look_well()
    assert [line["payment"] for line in lines if line["event"] == "chain_log_lacks"] == [
        held.payment
    ]
    assert await watch.state(held) is State.UNKNOWN
    assert await watch.books.exposure() == 50


async def test_log_that_withheld(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """What the log withheld at first is found when it is read once more."""
    held = await watch.signed(50)
    await watch.look_well()
    passing(100)
    tx = node.use(await watch.nonce(held), 50)
    node.lies["eth_getLogs"] = lambda _: []
    passing(DEATH_S + 1000)
    await watch.look_well()
    assert await watch.state(held) is State.UNKNOWN
    node.lies.clear()
    await watch.look_well()
    assert await watch.state(held) is State.SETTLED
    assert await watch.payment(held, "tx") == tx


async def test_log_that_withholds_much(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """Where reading once more is a long way, one look's worth of it is read, and no more."""
    held = await watch.signed(50)
    await watch.look_well()
    node.use(await watch.nonce(held), 50)
    node.lies["eth_getLogs"] = lambda _: []
    passing(20_000)
    await watch.look_well()
    del node.lies["eth_getLogs"]
    node.span_max = 10
    node.log.clear()
    standing = await watch.look_well()
    read = [int(p[0]["fromBlock"], 16) for m, p in node.asked if m == "eth_getLogs"]
    node.asked.clear()
    passing(2)
    assert standing.safe_block == node.safe - 1
    await watch.look_well()
    read_then = [int(p[0]["fromBlock"], 16) for m, p in node.asked if m == "eth_getLogs"]
    assert min(read_then) > max(read)
    assert await watch.state(held) is State.UNKNOWN


async def test_cancelled_by_the_log_alone(watch: Watch, node: FakeNode) -> None:
    """A log that says cancelled against the contract's word: nothing is believed."""
    held = await watch.signed(50)
    node.cancel(await watch.nonce(held))
    node.over.clear()
    assert (await watch.look()).trouble is T.CONTRADICTION
    assert await watch.state(held) is State.UNKNOWN


async def test_cancelled_and_used(watch: Watch, node: FakeNode) -> None:
    """A log that says both: it was taken."""
    held = await watch.signed(50)
    nonce = await watch.nonce(held)
    node.cancel(nonce)
    node.use(nonce, 50)
    node.cancel(nonce)
    await watch.look_well()
    assert await watch.state(held) is State.SETTLED


@pytest.mark.parametrize(
    "change",
    [
        {"address": "0x" + "1" * 40},
        {"address": 1},
        {"removed": True},
        {"blockNumber": hex(FIRST + 1)},
        {"blockNumber": None},
        {"transactionHash": "0x12"},
        {"topics": None},
        {"topics": ["0x" + "1" * 64] * 3},
        {"topics": []},
    ],
    ids=str,
)
async def test_log_entry_that_was_not_asked_for(
    watch: Watch, node: FakeNode, change: dict[str, Any]
) -> None:
    """A cancellation by a log entry that is not exactly of this wallet, token and range is none."""
    held = await watch.signed(50)
    node.cancel(await watch.nonce(held))
    entry = node.log[0] | change
    node.lies["eth_getLogs"] = lambda _: [entry]
    assert (await watch.look()).trouble is T.MALFORMED
    assert await watch.state(held) is State.UNKNOWN


async def test_another_token_at_the_address(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """A node of another network that claims ours is found out by the token's domain."""
    held = await watch.signed(50)
    passing(DEATH_S)
    honest = node.honest

    def lie(parameters: list[Any]) -> Any:
        is_domain = parameters[0]["data"] == "0x3644e515"
        return "0x" + "5" * 64 if is_domain else honest("eth_call", parameters)

    node.lies["eth_call"] = lie
    standing = await watch.look()
    assert standing.trouble is T.WRONG_CHAIN
    assert "EIP-712" in standing.message
    assert await watch.state(held) is State.UNKNOWN


async def test_redirect_is_not_followed(watch: Watch, node: FakeNode) -> None:
    """A redirect would carry our questions, and a key in them, elsewhere."""
    node.spoils = saying("", 307, ("Location", node.url))
    await watch.look()
    assert node.exchanges == 1


async def test_secret_of_a_node_that_is_not_there(watch: Watch) -> None:
    """A host that cannot be reached is not named either."""
    watch.config = with_node("https://A-SECRET-KEY.invalid/v2/A-SECRET-KEY")
    with capture_logs() as lines:
        standing = await watch.look()
    assert "SECRET" not in f"{lines} {standing}"


async def test_http_error_with_words(watch: Watch, node: FakeNode) -> None:
    """A node that says with HTTP 400 what it does not like is a node that refuses."""

    async def spoil(_: web.Request, whole: Any) -> web.StreamResponse:
        return web.json_response([whole[0], {"id": 1, "error": {"code": -32600}}], status=400)

    node.spoils = spoil
    standing = await watch.look()
    assert (standing.trouble, standing.message) == (T.REFUSED, "the node knows no safe block")
