"""What the chain says, and what the ledger makes of it."""

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.chain.lookout import EARLIER_S, OVERLAP_BLOCKS
from proxy.chain.rpc import Trouble
from proxy.core.ledger import Evidence, State
from proxy.store import onchain
from tests.chain.conftest import Passing, Watch, with_node
from tests.chain.node import BLOCK_S, FIRST, NETWORK, FakeNode, block
from tests.store.books import DEATH_S, OTHER, SHOP, START, USDC, WALLET, limit, opened

E = Evidence
FOREIGN = b"\xfe" * 32
KEY = (USDC.lower(), WALLET.lower())
SETTLED, EXPIRED, CANCELLED = State.SETTLED, State.EXPIRED, State.CANCELLED


async def cursor(watch: Watch) -> tuple[int, int]:
    """Up to which block the log was read, and since when uses must be ours."""
    return (await watch.books.ledger.ask(lambda db: onchain.cursors(db, NETWORK)))[KEY]


async def frozen(watch: Watch) -> list[bytes]:
    """The nonces for which the wallet signs nothing."""
    uses = await watch.books.ledger.ask(onchain.frozen)
    return [use.nonce for use in uses]


@pytest.mark.parametrize(
    ("story", "counts"),
    [
        ([E.SENT], 50),
        ([E.SENT, E.NO_RECEIPT], 50),
        ([E.SENT, E.RECEIPT], 50),
        ([E.SENT, E.NO_RECEIPT, E.HAND_VOID], 0),
    ],
    ids=str,
)
async def test_used(watch: Watch, node: FakeNode, story: list[Evidence], counts: int) -> None:
    """A nonce that the chain shows as used is settled by its transaction, whatever was thought."""
    held = await watch.signed(50, *story)
    before = await watch.state(held)
    assert await watch.books.exposure() == counts
    tx = node.use(await watch.nonce(held), 50)
    for _ in range(2):
        await watch.look_well()
        assert await watch.state(held) is SETTLED
        assert await watch.payment(held, "tx") == tx
        assert await watch.column(held, "chain") == "used"
        assert await watch.books.exposure() == 50
    assert watch.changes == ([] if before is SETTLED else [(SETTLED, 50)])


async def test_used_is_not_outstanding(watch: Watch, node: FakeNode) -> None:
    """What was taken can be taken no more."""
    held = await watch.signed(50)
    outstanding = limit("outstanding", 60)
    await watch.books.refused(20, outstanding)
    node.use(await watch.nonce(held), 50)
    await watch.look_well()
    await watch.books.bought(20, outstanding)


@pytest.mark.parametrize("story", [[E.SENT], [E.SENT, E.NO_RECEIPT], [E.SENT, E.RECEIPT]], ids=str)
async def test_cancelled(watch: Watch, node: FakeNode, story: list[Evidence]) -> None:
    """A nonce that the wallet took back gives its money back at once."""
    held = await watch.signed(50, *story)
    tx = node.cancel(await watch.nonce(held))
    for _ in range(2):
        await watch.look_well()
        assert await watch.state(held) is CANCELLED
        assert await watch.payment(held, "tx") == tx
        assert await watch.books.exposure() == 0
    assert watch.changes == [(CANCELLED, 50)]


@pytest.mark.parametrize("story", [[E.SENT], [E.SENT, E.NO_RECEIPT], [E.SENT, E.RECEIPT]], ids=str)
async def test_expired(watch: Watch, passing: Passing, story: list[Evidence]) -> None:
    """What died unused gives its money back, a receipt that lied or not."""
    held = await watch.signed(50, *story)
    passing(DEATH_S - 2)
    await watch.look_well()
    assert await watch.books.exposure() == 50
    passing(2)
    for _ in range(2):
        await watch.look_well()
        assert await watch.state(held) is EXPIRED
        assert await watch.books.exposure() == 0
    assert watch.changes == [(EXPIRED, 50)]


async def test_used_after_all(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """A chain that takes a safe block back may show a nonce as used later: it counts again."""
    held = await watch.signed(50)
    passing(DEATH_S)
    await watch.look_well()
    assert await watch.state(held) is EXPIRED
    node.use(await watch.nonce(held), 50, block=node.safe - 50)
    await watch.look_well()
    assert await watch.state(held) is SETTLED
    assert await watch.books.exposure() == 50
    node.cancel(await watch.nonce(held))
    await watch.look_well()
    assert await watch.state(held) is SETTLED


async def test_late_receipt(watch: Watch, passing: Passing) -> None:
    """A receipt that comes after the chain has spoken changes nothing."""
    held = await watch.signed(50, E.SENT)
    passing(DEATH_S)
    await watch.look_well()
    assert await watch.books.become(held, E.RECEIPT) is EXPIRED
    assert await watch.books.exposure() == 0


async def test_open_from_before_there_was_a_node(
    watch: Watch, node: FakeNode, passing: Passing
) -> None:
    """What was signed without anybody to ask is asked after once there is a node."""
    used = await watch.signed(50, watched=False)
    unused = await watch.signed(7, watched=False)
    passing(100)
    tx = node.use(await watch.nonce(used), 50)
    passing(100_000)
    await watch.look_well()
    assert (await watch.state(used), await watch.payment(used, "tx")) == (SETTLED, tx)
    assert await watch.state(unused) is EXPIRED
    assert await watch.books.exposure() == 50


async def test_settled_from_before_there_was_a_node(
    watch: Watch, node: FakeNode, passing: Passing
) -> None:
    """A use of ours is ours, also if nobody asks after it."""
    open_one = await watch.signed(50, watched=False)
    settled = await watch.signed(7, E.SENT, E.RECEIPT, watched=False)
    node.use(await watch.nonce(settled), 7)
    passing(60)
    await watch.look_well()
    assert await watch.column(settled, "chain") == "used"
    assert await watch.column(open_one, "chain") == "watched"
    assert await frozen(watch) == []


async def test_call_without_a_signature(watch: Watch, passing: Passing) -> None:
    """What the price table prices is nothing to the chain."""
    held = await watch.signed(50, wallet=None, nonce=None, network="", watched=False)
    passing(DEATH_S)
    await watch.look_well()
    assert await watch.state(held) is State.UNKNOWN


@pytest.mark.parametrize(
    ("amount", "pay_to", "shown"),
    [
        (51, SHOP, f"0.000051 to {SHOP.lower()}"),
        (50, OTHER, f"0.00005 to {OTHER.lower()}"),
        (0, SHOP, f"0 to {SHOP.lower()}"),
    ],
)
async def test_other_transfer_than_signed(
    watch: Watch, node: FakeNode, amount: int, pay_to: str, shown: str
) -> None:
    """A token moves what the key signed: another amount or payee means another signer."""
    held = await watch.signed(50)
    nonce = await watch.nonce(held)
    tx = node.use(nonce, amount, pay_to)
    with capture_logs() as lines:
        for _ in range(2):
            await watch.look_well()
    assert await watch.state(held) is SETTLED
    note = f"0.00005 USD to {SHOP} was signed, and the chain shows {shown}"
    assert await watch.payment(held, "note") == note
    assert await frozen(watch) == [nonce]
    alarms = [line for line in lines if line["log_level"] == "critical"]
    assert [(line["event"], line["tx"]) for line in alarms] == [
        ("transfer_differs", tx),
        ("wallet_frozen", tx),
    ]


async def test_no_transfer_to_be_seen(watch: Watch, node: FakeNode) -> None:
    """A token that logs no transfer is odd, and no proof of theft."""
    held = await watch.signed(50)
    node.use(await watch.nonce(held), None)
    with capture_logs() as lines:
        await watch.look_well()
    assert await watch.state(held) is SETTLED
    assert "the chain shows no transfer" in await watch.payment(held, "note")
    assert [line["log_level"] for line in lines] == ["critical", "info"]
    assert await frozen(watch) == []


async def test_many_in_one_transaction(watch: Watch, node: FakeNode) -> None:
    """A facilitator may settle several at once: each finds its own transfer."""
    one, two = await watch.signed(50), await watch.signed(7)
    node.use(await watch.nonce(one), 50)
    node.use(await watch.nonce(two), 7)
    for entry in node.log:
        entry["transactionHash"] = "0x" + "a" * 64
    await watch.look_well()
    assert [await watch.payment(each, "note") for each in (one, two)] == ["", ""]
    assert await watch.books.exposure() == 57


async def test_stolen(watch: Watch, node: FakeNode, tmp_path: Path) -> None:
    """A nonce that the ledger never signed stops the wallet, loudly, until a person accepts it."""
    await watch.look_well()
    node.safe += 10
    tx = node.use(FOREIGN)
    with capture_logs() as lines:
        for _ in range(3):
            await watch.look_well()
            node.safe += 10
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("wallet_frozen", "critical")
    assert (line["wallet"], line["nonce"], line["tx"]) == (WALLET, "0x" + FOREIGN.hex(), tx)
    refusal = await watch.books.refused(1)
    assert refusal.code == "wallet_frozen"
    assert tx in refusal.message
    async with opened(tmp_path, watch.books.clock) as after_a_restart:
        assert (await after_a_restart.refused(2)).code == "wallet_frozen"
    assert await watch.books.unfrozen() == 1
    await watch.look_well()
    await watch.books.bought(1)


async def test_used_before_it_was_watched(watch: Watch, node: FakeNode) -> None:
    """Uses from before the wallet was first watched may be those of another program."""
    node.safe += 100
    node.use(FOREIGN, block=node.safe - 1)
    watch.books.clock.now += 200
    await watch.look_well()
    assert await cursor(watch) == (node.safe, START + 200)
    await watch.look_well()
    assert await frozen(watch) == []
    node.use(b"\xfd" * 32)
    await watch.look_well()
    assert await frozen(watch) == [b"\xfd" * 32]


async def test_first_watched_with_something_open(
    watch: Watch, node: FakeNode, passing: Passing
) -> None:
    """The log is read from before the oldest open one was signed, and judged from then on."""
    node.use(FOREIGN, block=FIRST - 10)
    passing(1000)
    held = await watch.signed(50)
    passing(20)
    tx = node.use(await watch.nonce(held), 50, block=FIRST + 1)
    await watch.look_well()
    assert await cursor(watch) == (node.safe, START + 1000)
    assert await watch.payment(held, "tx") == tx
    assert await frozen(watch) == []
    (first, *_) = [p[0]["fromBlock"] for m, p in node.asked if m == "eth_getLogs"]
    assert int(first, 16) * BLOCK_S < (FIRST * BLOCK_S) + 1000 - EARLIER_S


async def test_wallet_of_another_ledger(watch: Watch, node: FakeNode) -> None:
    """Our nonce on another token or network is not ours: whoever has the key may repeat it."""
    elsewhere = await watch.signed(50, network="eip155:84532")
    other_token = await watch.signed(50, asset=OTHER)
    await watch.look_well()
    node.safe += 1
    for each in (elsewhere, other_token):
        node.use(await watch.nonce(each), 50)
    await watch.look_well()
    assert len(await frozen(watch)) == 2


async def test_foreign_cancellation(watch: Watch, node: FakeNode) -> None:
    """A nonce that is not ours and was taken back moved nothing."""
    await watch.look_well()
    node.cancel(FOREIGN)
    await watch.look_well()
    assert await frozen(watch) == []


async def test_old_wallet(watch: Watch, node: FakeNode) -> None:
    """What a former wallet signed is asked after as long as it is open."""
    held = await watch.signed(50)
    watch.wallet = OTHER
    node.use(await watch.nonce(held), 50)
    await watch.look_well()
    assert await watch.state(held) is SETTLED
    node.asked.clear()
    await watch.look_well()
    owners = [p[0]["topics"][1][-40:] for m, p in node.asked if m == "eth_getLogs"]
    assert owners == [OTHER[2:].lower()]


async def test_no_wallet(watch: Watch, node: FakeNode) -> None:
    """Without a wallet and with nothing open there is nothing to read but the node's health."""
    watch.wallet = None
    await watch.look_well()
    assert node.methods() == ["eth_chainId", "eth_getBlockByNumber"]


async def test_token_beside_the_built_in_ones(
    watch: Watch, node: FakeNode, passing: Passing
) -> None:
    """A token that the config added is read once something was signed for it, and ever after."""
    held = await watch.signed(50, asset=OTHER)
    node.lies["eth_call"] = lambda _: "0x" + "0" * 64
    passing(DEATH_S)
    await watch.look_well()
    assert await watch.state(held) is EXPIRED
    node.asked.clear()
    await watch.look_well()
    tokens = {p[0]["address"].lower() for m, p in node.asked if m == "eth_getLogs"}
    assert tokens == {USDC.lower(), OTHER.lower()}


async def test_hundred_at_once(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """A hundred authorizations cost a handful of exchanges."""
    held = [await watch.signed(1) for _ in range(100)]
    await watch.look_well()
    for each in held[:50]:
        node.use(await watch.nonce(each))
    passing(DEATH_S)
    node.exchanges = 0
    await watch.look_well()
    assert node.exchanges == 4  # the safe block, the log, and the contract's state in two batches
    states = [await watch.state(each) for each in held]
    assert states == [SETTLED] * 50 + [EXPIRED] * 50
    assert await watch.books.exposure() == 50


async def test_restart_in_the_middle(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """A new process goes on where the log was read to, and finds nothing twice."""
    one, two = await watch.signed(50), await watch.signed(7)
    node.use(await watch.nonce(one), 50)
    await watch.look_well()
    passing(10_000)
    node.use(await watch.nonce(two), 7, block=FIRST + 100)
    await watch.begin_again()
    node.asked.clear()
    await watch.look_well()
    assert await watch.state(two) is SETTLED
    (query,) = [p[0] for m, p in node.asked if m == "eth_getLogs"]
    assert int(query["fromBlock"], 16) == FIRST + 1 - OVERLAP_BLOCKS
    assert watch.changes == [(SETTLED, 50), (SETTLED, 7)]


async def test_nothing_new_is_nothing_written(watch: Watch) -> None:
    """A look that finds nothing leaves the file as it is."""
    await watch.signed(50)
    await watch.look_well()
    before = await watch.books.ledger.ask(lambda db: db.total_changes)
    await watch.look_well()
    assert await watch.books.ledger.ask(lambda db: db.total_changes) == before


async def test_long_way_to_go(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """Much to read is read in several looks, each of which gets ahead."""
    held = await watch.signed(50)
    await watch.look_well()
    passing(12_000)
    tx = node.use(await watch.nonce(held), 50, block=node.safe - 5)
    node.span_max = 100
    for _ in range(10):
        await watch.look_well()
        if await watch.payment(held, "tx"):
            break
    assert await watch.payment(held, "tx") == tx
    assert await watch.state(held) is SETTLED


async def test_a_few_blocks_at_a_time(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """Even a node that gives ten blocks at a time is read to the end."""
    held = await watch.signed(50)
    await watch.look_well()
    node.span_max = 10
    passing(2000)
    node.use(await watch.nonce(held), 50)
    for _ in range(20):
        await watch.look_well()
        if await watch.state(held) is SETTLED:
            break
    assert await watch.state(held) is SETTLED
    assert await watch.books.exposure() == 50


async def test_pruned_blocks(watch: Watch, node: FakeNode) -> None:
    """A node that has forgotten old blocks is read from the oldest that it has."""
    held = await watch.signed(50)
    honest = node.honest

    def lie(parameters: list[Any]) -> Any:
        old = parameters[0] not in ("safe", hex(FIRST)) and int(parameters[0], 16) < FIRST - 5
        return None if old else honest("eth_getBlockByNumber", parameters)

    node.lies["eth_getBlockByNumber"] = lie
    node.use(await watch.nonce(held), 50)
    await watch.look_well()
    assert await watch.state(held) is SETTLED
    (query,) = [p[0] for m, p in node.asked if m == "eth_getLogs"]
    assert int(query["fromBlock"], 16) == FIRST - 4


async def test_young_chain(watch: Watch, node: FakeNode) -> None:
    """A chain that is younger than our waiting is read from its first block."""
    await watch.signed(50)
    node.safe = 3
    node.lies["eth_getBlockByNumber"] = lambda parameters: block(
        3 if parameters[0] == "safe" else int(parameters[0], 16), timestamp=hex(START)
    )
    await watch.look_well()
    (query,) = [p[0] for m, p in node.asked if m == "eth_getLogs"]
    assert query["fromBlock"] == "0x0"


async def test_ledger_that_cannot_be_written(watch: Watch, node: FakeNode) -> None:
    """What cannot be written down is found again later."""
    held = await watch.signed(50)
    node.use(await watch.nonce(held), 50)
    connection = watch.books.ledger._writer._connection
    await watch.books.ledger.ask(lambda db: db.execute("PRAGMA query_only = 1").fetchall())
    assert (await watch.look()).trouble is Trouble.LEDGER
    connection.execute("PRAGMA query_only = 0")
    assert await watch.state(held) is State.UNKNOWN
    await watch.look_well()
    assert await watch.state(held) is SETTLED


async def test_no_node(watch: Watch, node: FakeNode, passing: Passing) -> None:
    """Without a node nothing is asked and nothing is given back."""
    held = await watch.signed(50)
    watch.config = with_node(None)
    passing(DEATH_S)
    await watch.reconciler.look(NETWORK)
    assert (node.exchanges, watch.reconciler.standings) == (0, {})
    assert await watch.state(held) is State.UNKNOWN
