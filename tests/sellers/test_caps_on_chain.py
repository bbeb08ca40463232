"""Caps, held against the chain: what left the wallet is never more than was allowed."""

import asyncio

import pytest

from tests.rig.chain import Chain
from tests.rig.fixtures import Seller
from tests.rig.hostile import PRICE, HostileSeller
from tests.sellers.conftest import Start

DAY_S = 86_400
ALIVE_S = 600
"""A day's window may begin when an authorization dies, some minutes after it was signed."""


async def test_cap_per_request(farebox: Start, chain: Chain, shop: Seller) -> None:
    """A price above the cap is refused before anything is signed."""
    daemon = await farebox({"shop": shop.url}, caps={"per_request": "0.009999"})
    answer = await daemon.ask("GET", "/shop/paid")
    assert (answer.status, answer.error) == (403, "cap_per_request")
    assert answer.json["error"]["code"] == "cap_per_request"
    assert shop.payments_by(daemon.payer.address) == []
    assert chain.transfers_from(daemon.payer.address) == []


async def test_cap_per_request_is_inclusive(farebox: Start, chain: Chain, shop: Seller) -> None:
    """A price that equals the cap is paid."""
    daemon = await farebox({"shop": shop.url}, caps={"per_request": "0.01"})
    assert (await daemon.ask("GET", "/shop/paid")).status == 200
    assert chain.transfers_from(daemon.payer.address) == [PRICE]


async def test_cap_of_one_call(farebox: Start, shop: Seller) -> None:
    """A client may say what this call may cost at most."""
    daemon = await farebox({"shop": shop.url})
    answer = await daemon.ask("GET", "/shop/paid", headers={"Farebox-Max-Amount": "0.005"})
    assert (answer.status, answer.error) == (403, "cap_call")
    assert shop.payments_by(daemon.payer.address) == []


async def test_the_price_is_this_requests_price(
    farebox: Start, chain: Chain, fastapi_seller: Seller
) -> None:
    """A cheap call before it does not let a dear one through."""
    daemon = await farebox({"shop": fastapi_seller.url}, caps={"per_request": "0.50"})
    prices = ["0.02", "0.51", "0.50", "0.000001"]
    answers = [await daemon.ask("GET", f"/shop/price?usd={usd}") for usd in prices]
    assert [answer.status for answer in answers] == [200, 403, 200, 200]
    assert chain.transfers_from(daemon.payer.address) == [20_000, 500_000, 1]


async def test_day_cap_holds_under_load(farebox: Start, chain: Chain, shop: Seller) -> None:
    """Of fifty requests at once ten fit under the cap; the others are told when to come back."""
    daemon = await farebox({"shop": shop.url}, caps={"day": "0.10"})
    answers = await asyncio.gather(*(daemon.ask("GET", "/shop/paid") for _ in range(50)))
    refused = [answer for answer in answers if answer.status != 200]
    assert len(refused) == 40
    assert {(answer.status, answer.error) for answer in refused} == {(429, "cap_day")}
    waits = [int(answer.headers["Retry-After"]) for answer in refused]
    assert DAY_S - ALIVE_S < min(waits) <= max(waits) < DAY_S + ALIVE_S
    assert chain.transfers_from(daemon.payer.address) == [PRICE] * 10
    assert len(shop.payments_by(daemon.payer.address)) == 10


async def test_day_cap_survives_a_restart(farebox: Start, chain: Chain, shop: Seller) -> None:
    """What was spent before a restart still counts after it."""
    daemon = await farebox({"shop": shop.url}, caps={"day": "0.02"})
    assert (await daemon.ask("GET", "/shop/paid")).status == 200
    await daemon.stop()
    await daemon.start()
    statuses = [(await daemon.ask("GET", "/shop/paid")).status for _ in range(3)]
    assert statuses == [200, 429, 429]
    assert chain.transfers_from(daemon.payer.address) == [PRICE] * 2


@pytest.mark.parametrize(
    "vice", ["drop_before_answer", "repeat_402_unsettled", "settlement_pending"]
)
async def test_unknown_outcomes_stay_counted(
    farebox: Start, hostile_seller: HostileSeller, vice: str
) -> None:
    """A seller that says it took nothing frees nothing: the signature is still a cheque."""
    daemon = await farebox({"shop": hostile_seller.url}, caps={"day": "0.02"})
    for number in range(5):
        await daemon.ask("GET", f"/shop/{vice}?n={number}")
    assert len(hostile_seller.nonces) == 2
    answer = await daemon.ask("GET", "/shop/deliver")
    assert (answer.status, answer.error) == (429, "cap_day")


async def test_outstanding_cap(farebox: Start, hostile_seller: HostileSeller) -> None:
    """No more may be signed and still takeable at one time than the cap says."""
    daemon = await farebox({"shop": hostile_seller.url}, caps={"outstanding": "0.01"})
    await daemon.ask("GET", "/shop/drop_before_answer")
    answer = await daemon.ask("GET", "/shop/deliver")
    assert (answer.status, answer.error) == (429, "cap_outstanding")
    assert int(answer.headers["Retry-After"]) > 0
    assert len(hostile_seller.nonces) == 1
