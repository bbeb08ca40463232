"""Clients that leave in the middle: what is paid for is finished, and nothing is paid twice."""

import asyncio
import contextlib

import aiohttp
import pytest

from tests.rig.chain import Chain
from tests.rig.hostile import PRICE, HostileSeller
from tests.rig.process import deadline
from tests.sellers.conftest import Start
from tests.sellers.daemon import POLL_S, Daemon


async def test_client_that_leaves(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """The payment that was under way ends in the books as the seller's receipt says."""
    daemon = await farebox({"shop": hostile_seller.url})
    await _ask_and_leave(daemon, hostile_seller)
    hostile_seller.released.set()
    (payment,) = await daemon.in_state("settled")
    assert {hold["nonce"] for hold in payment["authorizations"]} == hostile_seller.nonces
    assert chain.transfers_from(daemon.payer.address) == [PRICE]


async def test_client_that_leaves_and_comes_back(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """The same request again is joined to the payment under way and gets its answer."""
    daemon = await farebox({"shop": hostile_seller.url})
    await _ask_and_leave(daemon, hostile_seller)
    again = asyncio.ensure_future(daemon.ask("POST", "/shop/hold_then_deliver", data=b"work"))
    await asyncio.sleep(0.2)  # let it arrive; whatever it does, it must not pay again
    hostile_seller.released.set()
    answer = await again
    assert (answer.status, answer.json) == (200, {"goods": "delivered"})
    assert len(hostile_seller.nonces) == 1
    assert chain.transfers_from(daemon.payer.address) == [PRICE]


async def test_clients_that_leave_at_any_moment(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """Thirty clients leave at thirty moments; the books know every nonce that got out."""
    daemon = await farebox({"shop": hostile_seller.url})
    await asyncio.gather(
        *(_ask_for(daemon, f"/shop/deliver?n={number}", number * 0.004) for number in range(30))
    )
    for _ in deadline(10):
        if not {payment["state"] for payment in await daemon.payments()} & {"reserved", "sent"}:
            break
        await asyncio.sleep(POLL_S)
    assert hostile_seller.nonces <= await daemon.nonces()
    assert len(hostile_seller.payments) == len(hostile_seller.nonces)
    assert chain.transfers_from(daemon.payer.address) == [PRICE] * hostile_seller.settled


async def _ask_and_leave(daemon: Daemon, seller: HostileSeller) -> None:
    asked = asyncio.ensure_future(daemon.ask("POST", "/shop/hold_then_deliver", data=b"work"))
    for _ in deadline(10):
        if seller.payments:
            break
        await asyncio.sleep(POLL_S)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def _ask_for(daemon: Daemon, path: str, patience_s: float) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession() as session, session.get(daemon.url + path) as answer:
            await answer.read()

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ask(), patience_s)
