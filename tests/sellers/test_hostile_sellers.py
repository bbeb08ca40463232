"""Sellers that lie: what the client is told, and that at most one cheque is ever in the world."""

import asyncio

import aiohttp
import pytest

from tests.rig.chain import Chain
from tests.rig.hostile import HALVES, PRICE, HostileSeller
from tests.sellers.conftest import Start
from tests.sellers.daemon import Daemon

REFUSED_CHALLENGES = {
    "accepts_17": (502, "challenge_invalid"),
    "accepts_nothing": (502, "challenge_invalid"),
    "amount_above_uint256": (502, "challenge_invalid"),
    "amount_exponent": (502, "challenge_invalid"),
    "amount_fraction": (502, "challenge_invalid"),
    "amount_negative": (502, "challenge_invalid"),
    "amount_number": (502, "challenge_invalid"),
    "amount_zero": (502, "challenge_invalid"),
    "asset_unknown": (403, "asset_not_allowed"),
    "domain_wrong_name": (502, "challenge_invalid"),
    "domain_wrong_version": (502, "challenge_invalid"),
    "duplicate_keys": (502, "challenge_invalid"),
    "endless_402_body": (502, "challenge_invalid"),
    "flow_unknown": (403, "scheme_not_supported"),
    "large_challenge_header": (502, "challenge_invalid"),
    "network_mainnet": (403, "network_not_allowed"),
    "not_base64": (502, "challenge_invalid"),
    "pay_to_zero": (403, "payee_not_allowed"),
    "permit2": (403, "scheme_not_supported"),
    "scheme_unknown": (403, "scheme_not_supported"),
    "timeout_tiny": (502, "challenge_invalid"),
    "two_challenges": (502, "challenge_invalid"),
}

REJECTED_PAYMENTS = [
    "other_payee",
    "overcharge",
    "repeat_402_settled",
    "repeat_402_unsettled",
    "replay_complaint",
    "settlement_pending",
    "success_false_but_settled",
]

DUBIOUS_RECEIPTS = ["no_receipt", "receipt_claims_more", "receipt_garbage", "receipt_of_another"]
BREAKS = ["drop_before_answer", "settle_then_drop"]
STALLS = ["stall", "settle_then_stall"]


async def test_challenges_that_nobody_should_sign(
    farebox: Start, hostile_seller: HostileSeller
) -> None:
    """Each is refused with a code that says why, and nothing is signed or sent again."""
    daemon = await farebox({"shop": hostile_seller.url})
    answers = {vice: await daemon.ask("GET", f"/shop/{vice}") for vice in REFUSED_CHALLENGES}
    told = {vice: (answer.status, answer.error) for vice, answer in answers.items()}
    assert told == REFUSED_CHALLENGES
    assert all(answer.json["error"]["code"] == answer.error for answer in answers.values())
    assert len(hostile_seller.sightings) == len(REFUSED_CHALLENGES)
    assert hostile_seller.payments == []


async def test_challenge_header_of_two_megabytes(
    farebox: Start, hostile_seller: HostileSeller
) -> None:
    """A head beyond what the HTTP client reads at all is the seller's fault, and costs nothing."""
    daemon = await farebox({"shop": hostile_seller.url})
    answer = await daemon.ask("GET", "/shop/huge_challenge_header")
    assert answer.status == 502
    assert answer.error in {"challenge_invalid", "upstream_unreachable"}
    assert hostile_seller.payments == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT"])
async def test_methods_that_never_pay(
    farebox: Start, hostile_seller: HostileSeller, method: str
) -> None:
    """A 402 to a method that the route does not pay for goes through as it came."""
    daemon = await farebox({"shop": hostile_seller.url})
    answer = await daemon.ask(method, "/shop/deliver")
    assert (answer.status, answer.error) == (402, None)
    assert "PAYMENT-REQUIRED" in answer.headers
    assert hostile_seller.payments == []


@pytest.mark.parametrize("vice", REJECTED_PAYMENTS)
async def test_second_402_is_never_paid(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller, vice: str
) -> None:
    """The client sees the second 402 as it came, marked as a rejected payment of open outcome."""
    daemon = await farebox({"shop": hostile_seller.url})
    answer = await daemon.ask("POST", f"/shop/{vice}", data=b"work")
    assert (answer.status, answer.error) == (402, "payment_rejected")
    assert answer.payment["state"] == "unknown"
    assert [seen.body for seen in hostile_seller.sightings] == [b"work", b"work"]
    await _at_most_one_cheque(daemon, chain, hostile_seller)


@pytest.mark.parametrize("vice", DUBIOUS_RECEIPTS)
async def test_receipt_that_does_not_fit(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller, vice: str
) -> None:
    """The goods pass through; a receipt that is not what was signed leaves the outcome open."""
    daemon = await farebox({"shop": hostile_seller.url})
    answer = await daemon.ask("GET", f"/shop/{vice}")
    assert (answer.status, answer.json) == (200, {"goods": "delivered"})
    assert answer.payment["state"] == "unknown"
    assert answer.payment["amount"] == "0.01"
    await _at_most_one_cheque(daemon, chain, hostile_seller)


async def test_work_that_fails_after_the_money_is_gone(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """The 500 passes through, and the outcome is open."""
    daemon = await farebox({"shop": hostile_seller.url})
    answer = await daemon.ask("POST", "/shop/settle_then_500", data=b"work")
    assert (answer.status, answer.json, answer.error) == (500, {"goods": "broken"}, None)
    assert answer.payment["state"] == "unknown"
    await _at_most_one_cheque(daemon, chain, hostile_seller)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("vice", BREAKS)
async def test_connection_that_breaks(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller, vice: str, method: str
) -> None:
    """The client learns the payment's id and that its outcome is open; nobody tries again."""
    daemon = await farebox({"shop": hostile_seller.url})
    answer = await daemon.ask(method, f"/shop/{vice}")
    assert (answer.status, answer.error) == (502, "payment_outcome_unknown")
    (payment,) = await daemon.in_state("unknown")
    assert answer.json["error"]["payment"] == payment["id"]
    assert len(hostile_seller.payments) == 1
    await _at_most_one_cheque(daemon, chain, hostile_seller)


@pytest.mark.parametrize("vice", STALLS)
async def test_silence_after_a_payment(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller, vice: str
) -> None:
    """Silence ends at the provider's deadline, with the outcome open and nothing sent again."""
    daemon = await farebox({"shop": hostile_seller.url}, provider={"read_timeout_s": 1})
    answer = await daemon.ask("GET", f"/shop/{vice}")
    assert (answer.status, answer.error) == (502, "payment_outcome_unknown")
    assert answer.json["error"]["payment"]
    assert len(hostile_seller.payments) == 1
    await _at_most_one_cheque(daemon, chain, hostile_seller)


async def test_answer_that_breaks_off(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """Half an answer is half an answer to the client too: never a whole one, never a second try."""
    daemon = await farebox({"shop": hostile_seller.url})
    async with daemon.client.get(daemon.url + "/shop/settle_then_break_off") as answer:
        assert answer.status == 200
        assert await answer.content.readexactly(len(HALVES[0])) == HALVES[0]
        hostile_seller.released.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()
    await _at_most_one_cheque(daemon, chain, hostile_seller)


async def test_odd_headers_cost_no_answer(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """A header beyond ASCII does not lose the goods that were paid for."""
    daemon = await farebox({"shop": hostile_seller.url})
    answer = await daemon.ask("GET", "/shop/odd_headers")
    assert (answer.status, answer.json) == (200, {"goods": "delivered"})
    assert answer.payment["state"] == "settled"
    assert "Caf" in answer.headers["X-Shop"]
    await _at_most_one_cheque(daemon, chain, hostile_seller)


@pytest.mark.parametrize(("vice", "payments"), [("redirect_307", 0), ("redirect_after_payment", 1)])
async def test_redirects_are_the_clients_business(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller, vice: str, payments: int
) -> None:
    """A redirect to another origin reaches the client as it is; the other origin hears nothing."""
    daemon = await farebox({"shop": hostile_seller.url})
    answer = await daemon.ask("POST", f"/shop/{vice}", data=b"work")
    assert answer.status == 307
    assert answer.headers["Location"] == f"{hostile_seller.elsewhere}/stolen"
    assert hostile_seller.strayed == []
    assert len(hostile_seller.payments) == payments
    await _at_most_one_cheque(daemon, chain, hostile_seller)


async def test_payee_that_changes(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """The payee of the first payment is pinned; another one is refused and gets nothing."""
    daemon = await farebox({"shop": hostile_seller.url})
    first = await daemon.ask("GET", "/shop/changing_pay_to")
    second = await daemon.ask("GET", "/shop/changing_pay_to")
    assert first.status == 200
    assert (second.status, second.error) == (403, "payee_not_allowed")
    await _at_most_one_cheque(daemon, chain, hostile_seller)


async def test_payees_that_race(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller
) -> None:
    """Of several first payees at once, one wins."""
    daemon = await farebox({"shop": hostile_seller.url})
    answers = await asyncio.gather(*(daemon.ask("GET", "/shop/changing_pay_to") for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [403] * 9
    await _at_most_one_cheque(daemon, chain, hostile_seller)


@pytest.mark.parametrize("vice", [*BREAKS, "repeat_402_unsettled", "settle_then_500"])
async def test_asking_again_resends_the_same_cheque(
    farebox: Start, chain: Chain, hostile_seller: HostileSeller, vice: str
) -> None:
    """An identical request that meets an open payment carries the authorization of that payment."""
    daemon = await farebox({"shop": hostile_seller.url})
    for _ in range(3):
        await daemon.ask("POST", f"/shop/{vice}", data=b"the same work")
    assert len({paid["signature"] for paid in hostile_seller.payments}) == 1
    await _at_most_one_cheque(daemon, chain, hostile_seller)


async def test_signatures_stay_out_of_the_log(
    farebox: Start, hostile_seller: HostileSeller
) -> None:
    """Neither a payment header nor a signature is ever written down."""
    daemon = await farebox({"shop": hostile_seller.url})
    for vice in ("deliver", "settle_then_500", "drop_before_answer", "repeat_402_unsettled"):
        await daemon.ask("GET", f"/shop/{vice}")
    await daemon.stop()
    written = daemon.log.read_text()
    assert hostile_seller.payments
    for payment in hostile_seller.payments:
        assert payment["signature"].removeprefix("0x") not in written


async def _at_most_one_cheque(daemon: Daemon, chain: Chain, seller: HostileSeller) -> None:
    """At most one nonce was ever shown, the books know it, and money moved at most once."""
    assert len(seller.nonces) <= 1
    assert len({payment["signature"] for payment in seller.payments}) <= 1
    assert seller.nonces <= await daemon.nonces()
    assert chain.transfers_from(daemon.payer.address) == [PRICE] * seller.settled
    assert seller.settled <= 1
