"""Buying from the official sellers: the goods arrive, and exactly the price leaves."""

import asyncio
import hashlib
import io
import random

import aiohttp
import pytest

from tests.rig.chain import NETWORK, Chain
from tests.rig.fixtures import Seller
from tests.rig.hostile import HALVES, PRICE, HostileSeller
from tests.sellers.conftest import FUNDS, Start
from tests.sellers.daemon import Daemon

THREE_MIB = 3 * 1024 * 1024


async def test_get_is_paid_once(farebox: Start, chain: Chain, shop: Seller) -> None:
    """A GET comes back with the goods, and the payer's balance moved by exactly the price."""
    daemon = await farebox({"shop": shop.url})
    answer = await daemon.ask("GET", "/shop/paid")
    assert (answer.status, answer.json) == (200, {"goods": "delivered"})
    assert chain.transfers_from(daemon.payer.address) == [shop.price("GET /paid")]
    assert chain.balance(daemon.payer.address) == FUNDS - shop.price("GET /paid")
    assert len(shop.payments_by(daemon.payer.address)) == 1


async def test_the_answer_says_what_was_paid(farebox: Start, shop: Seller) -> None:
    """`Farebox-Payment` says what was bought and how it stands, and the books agree."""
    daemon = await farebox({"shop": shop.url})
    answer = await daemon.ask("GET", "/shop/paid")
    paid = answer.payment
    assert paid["id"].startswith("pay_")
    assert (paid["amount"], paid["asset"], paid["network"]) == ("0.01", "USDC", NETWORK)
    assert (paid["state"], len(paid["tx"])) == ("settled", 66)
    receipt = "PAYMENT-RESPONSE" if shop.version == 2 else "X-PAYMENT-RESPONSE"
    assert receipt in answer.headers
    (payment,) = await daemon.in_state("settled")
    assert (payment["id"], payment["tx"]) == (paid["id"], paid["tx"])
    assert (payment["amount"], payment["pay_to"].lower()) == ("10000", shop.pay_to.lower())


async def test_post_body_arrives_with_the_payment(
    farebox: Start, chain: Chain, shop: Seller
) -> None:
    """A small body is at the seller, byte for byte, when the payment is."""
    daemon = await farebox({"shop": shop.url})
    answer = await daemon.ask("POST", "/shop/echo-paid", data=b"\x00hello\xff")
    assert answer.json["body"].encode("latin-1") == b"\x00hello\xff"
    assert chain.transfers_from(daemon.payer.address) == [shop.price("POST /echo-paid")]


async def test_large_body_arrives_whole(farebox: Start, chain: Chain, shop: Seller) -> None:
    """A body beyond what is kept in memory arrives whole as well."""
    body = random.Random(402).randbytes(THREE_MIB)  # noqa: S311  # filler, not a secret
    daemon = await farebox({"shop": shop.url})
    answer = await daemon.ask("POST", "/shop/echo-paid", data=io.BytesIO(body))
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()
    assert chain.transfers_from(daemon.payer.address) == [shop.price("POST /echo-paid")]


async def test_fifty_at_once(farebox: Start, chain: Chain, shop: Seller) -> None:
    """Fifty requests at the same time are fifty purchases, each with a nonce of its own."""
    daemon = await farebox({"shop": shop.url})
    answers = await asyncio.gather(*(daemon.ask("GET", "/shop/paid") for _ in range(50)))
    assert [answer.status for answer in answers] == [200] * 50
    assert chain.transfers_from(daemon.payer.address) == [shop.price("GET /paid")] * 50
    assert len({paid["nonce"] for paid in shop.payments_by(daemon.payer.address)}) == 50


async def test_free_is_free(farebox: Start, shop: Seller) -> None:
    """What costs nothing passes through without a payment."""
    daemon = await farebox({"shop": shop.url})
    answer = await daemon.ask("GET", "/shop/free")
    assert (answer.json, answer.payment) == ({"goods": "free"}, {})
    assert await daemon.payments() == []


async def test_paid_events_arrive(farebox: Start, chain: Chain, shop: Seller) -> None:
    """An event stream that is paid for arrives whole."""
    daemon = await farebox({"shop": shop.url})
    answer = await daemon.ask("GET", "/shop/paid-stream")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert chain.transfers_from(daemon.payer.address) == [10_000]


async def test_a_page_for_people_is_no_hindrance(
    farebox: Start, chain: Chain, fastapi_seller: Seller
) -> None:
    """A browser's 402 has a page as its body; the challenge in the header is what counts."""
    daemon = await farebox({"shop": fastapi_seller.url})
    browser = {"User-Agent": "Mozilla/5.0", "Accept": "text/html"}
    answer = await daemon.ask("GET", "/shop/paid", headers=browser)
    assert (answer.status, answer.json) == (200, {"goods": "delivered"})
    assert chain.transfers_from(daemon.payer.address) == [10_000]


@pytest.mark.slow
async def test_a_price_that_a_float_spoiled(farebox: Start, express_v1_seller: Seller) -> None:
    """The version 1 SDK asks `"2009999.9999999998"` for $2.01: refused, not rounded."""
    daemon = await farebox({"shop": express_v1_seller.url}, caps={"per_request": "5.00"})
    answer = await daemon.ask("GET", "/shop/paid-oddly")
    assert (answer.status, answer.error) == (502, "challenge_invalid")
    assert express_v1_seller.payments_by(daemon.payer.address) == []


async def test_failed_work_counts_until_it_is_known(
    farebox: Start, chain: Chain, shop: Seller
) -> None:
    """A seller's 500 comes through as it is; the authorization lives on, so it stays counted."""
    daemon = await farebox({"shop": shop.url})
    answer = await daemon.ask("GET", "/shop/paid-fails")
    assert (answer.status, answer.json, answer.error) == (500, {"goods": "broken"}, None)
    assert answer.payment["state"] == "unknown"
    assert chain.transfers_from(daemon.payer.address) == []
    assert len(await daemon.in_state("unknown")) == 1
    assert len(shop.payments_by(daemon.payer.address)) == 1


async def test_a_client_cannot_bring_its_own_payment(
    farebox: Start, hostile_seller: HostileSeller
) -> None:
    """Payment headers of a client stop at the door."""
    daemon = await farebox({"shop": hostile_seller.url})
    forged = {"PAYMENT-SIGNATURE": "forged", "X-PAYMENT": "forged"}
    answer = await daemon.ask("GET", "/shop/deliver", headers=forged)
    assert answer.status == 200
    assert [seen.payment is None for seen in hostile_seller.sightings] == [True, False]


async def test_streams_are_not_held(farebox: Start, hostile_seller: HostileSeller) -> None:
    """The first event of a free stream is here before the seller has written the second."""
    daemon = await farebox({"shop": hostile_seller.url})
    await _reads_in_two_halves(daemon, hostile_seller, "/shop/free_stream")
    assert hostile_seller.payments == []


async def test_paid_streams_are_not_held(farebox: Start, hostile_seller: HostileSeller) -> None:
    """The same for a stream that was paid for."""
    daemon = await farebox({"shop": hostile_seller.url})
    await _reads_in_two_halves(daemon, hostile_seller, "/shop/paid_stream")
    assert hostile_seller.settled == 1


async def test_dry_run_signs_nothing(farebox: Start, shop: Seller) -> None:
    """A dry run quotes the price and shows the seller no payment."""
    daemon = await farebox({"shop": shop.url})
    answer = await daemon.ask("GET", "/shop/paid", headers={"Farebox-Dry-Run": "1"})
    assert (answer.status, answer.json["allowed"]) == (200, True)
    price = answer.json["price"]
    assert (price["usd"], price["amount"], price["source"]) == ("0.01", str(PRICE), "quoted")
    assert shop.payments_by(daemon.payer.address) == []


async def _reads_in_two_halves(daemon: Daemon, seller: HostileSeller, path: str) -> None:
    timeout = aiohttp.ClientTimeout(total=10)
    async with daemon.client.get(daemon.url + path, timeout=timeout) as answer:
        assert await answer.content.readexactly(len(HALVES[0])) == HALVES[0]
        seller.released.set()
        assert await answer.content.read() == HALVES[1]
