"""kill -9 in the middle of paying: no signature is ever outside that the books do not know."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.rig.chain import Chain
from tests.rig.hostile import PRICE, HostileSeller
from tests.rig.process import deadline
from tests.sellers.conftest import Start
from tests.sellers.daemon import Daemon

REQUESTS = 30


@pytest.mark.parametrize("paid_before_the_kill", [1, 8, 20])
async def test_books_know_every_nonce_after_a_kill(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller, paid_before_the_kill: int
) -> None:
    """Whatever any seller ever saw is in the books after the restart, and still counts."""
    daemon = await farebox({"shop": hostile_seller.url}, caps={"day": "0.30"})
    requests = _ask_many(daemon)
    for _ in deadline(20):
        if len(hostile_seller.nonces) >= paid_before_the_kill:
            break
        await asyncio.sleep(0)
    daemon.kill()
    await asyncio.gather(*requests, return_exceptions=True)
    seen = set(hostile_seller.nonces)
    await daemon.start()
    assert seen
    assert seen <= await daemon.nonces()

    await asyncio.gather(*_ask_many(daemon), return_exceptions=True)
    assert hostile_seller.nonces <= await daemon.nonces()
    assert len(hostile_seller.nonces) <= REQUESTS
    assert sum(chain.transfers_from(daemon.payer.address)) <= REQUESTS * PRICE


async def test_settled_stays_settled(farebox: Start, hostile_seller: HostileSeller) -> None:
    """A payment that was answered before the kill is settled, or at worst unknown, after it."""
    daemon = await farebox({"shop": hostile_seller.url})
    answer = await daemon.ask("GET", "/shop/deliver")
    daemon.kill()
    await daemon.start()
    (payment,) = await daemon.payments()
    assert payment["id"] == answer.payment["id"]
    assert payment["state"] in {"settled", "unknown", "sent", "reserved"}


async def test_second_daemon_is_turned_away(
    farebox: Start, hostile_seller: HostileSeller, tmp_path: Path
) -> None:
    """Two daemons never share a state directory: the second leaves and names the first."""
    daemon = await farebox({"shop": hostile_seller.url})
    home = tmp_path / "second"
    home.mkdir()
    second = Daemon(home, daemon.payer, daemon.config, daemon.client)
    with pytest.raises(AssertionError, match="not ready"):
        await second.start()
    assert second.process is not None
    assert second.process.wait() == 1
    assert daemon.process is not None
    assert str(daemon.process.pid) in second.log.read_text()


def _ask_many(daemon: Daemon) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(_ask(daemon, number)) for number in range(REQUESTS)]


async def _ask(daemon: Daemon, number: int) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{daemon.url}/shop/deliver?n={number}") as answer,
    ):
        await answer.read()
