"""Hundreds of kills under load: after each one the books know all that any seller ever saw."""

import asyncio
import os
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.rig.chain import Chain
from tests.rig.hostile import PRICE, HostileSeller
from tests.sellers.conftest import Start
from tests.sellers.daemon import Daemon, Json

KILLS = int(os.environ.get("SOAK_KILLS", "200"))
BUYERS = 16
VICES = (
    "deliver",
    "deliver",
    "deliver",
    "settle_then_drop",
    "drop_before_answer",
    "settle_then_500",
    "repeat_402_unsettled",
    "repeat_402_settled",
    "success_false_but_settled",
)
CAP = 50_000_000
CAPS = {"day": "50.00", "outstanding": "5.00", "per_request": "1.00"}
FUNDS = 1_000_000_000


@pytest.mark.soak
async def test_kills(farebox: Start, chain: Chain, hostile_seller: HostileSeller) -> None:
    """Random moments, honest and lying answers, keyed and plain requests, one wallet, one cap."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}, {KILLS} kills")  # noqa: T201 - to play a failure again
    chance = random.Random(seed)  # noqa: S311 - it only chooses moments
    daemon = await farebox({"shop": hostile_seller.url}, caps=CAPS)
    chain.mint(daemon.payer.address, FUNDS)
    for number in range(KILLS):
        async with _load(daemon, chance, number):
            await asyncio.sleep(chance.uniform(0, 0.25))  # the moment of the kill is the test
            daemon.kill()
        await daemon.start()
        await _account(daemon, chain, hostile_seller)


class _load:  # noqa: N801 - it reads as a word
    """Buyers that ask without end for as long as the block lasts."""

    def __init__(self, daemon: Daemon, chance: random.Random, round_: int) -> None:
        self._daemon, self._chance, self._round = daemon, chance, round_

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(self._buy(number)) for number in range(BUYERS)]

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _buy(self, buyer: int) -> None:
        asked = 0
        while True:
            asked += 1
            vice = self._chance.choice(VICES)
            keyed = self._chance.random() < 0.3
            key = {"Idempotency-Key": f"{self._round}-{buyer}-{asked}"} if keyed else {}
            try:
                await self._daemon.ask("POST", f"/shop/{vice}", data=b"x", headers=key)
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)


async def _account(daemon: Daemon, chain: Chain, seller: HostileSeller) -> None:
    """What was seen is known, what moved is no more than the cap, and the sums say so."""
    known = await _nonces(daemon)
    assert seller.nonces <= known
    moved = chain.transfers_from(daemon.payer.address)
    assert set(moved) <= {PRICE}
    assert len(moved) <= len(seller.nonces)
    assert len(known) * PRICE <= CAP
    (day,) = [
        cap
        for cap in (await daemon.ask("GET", "/-/status")).json["caps"]
        if (cap["scope"], cap["window"]) == ("all", "day")
    ]
    counted = float(day["settled"]) + float(day["live"])
    payments: list[Json] = [p async for p in _payments(daemon)]
    voids = sum(1 for p in payments if p["state"] == "void")
    assert round(counted * 1_000_000) == PRICE * (len(payments) - voids)


async def _nonces(daemon: Daemon) -> set[str]:
    return {a["nonce"] async for p in _payments(daemon) for a in p["authorizations"]}


async def _payments(daemon: Daemon) -> AsyncIterator[Json]:
    page: Json = {"next": None}
    while "next" in page:
        before = f"&before={page['next']}" if page["next"] else ""
        page = (await daemon.ask("GET", f"/-/payments?limit=1000{before}")).json
        for payment in page["payments"]:
            yield payment
