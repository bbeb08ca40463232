"""Every fault, what a client sees of it, and where it leaves the money."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from proxy.sandbox import FAULTS, Sandbox, SandboxOptions
from tests.sandbox.buyer import CHAT, PORTRAIT, VIDEO, Answer, Buyer

ENROLL = "/v1/portrait/enroll"
PRICE = 500_000
GONE = 0
"""Stands for a connection that ended without an answer."""

Check = Callable[[Answer, Any], bool]
"""Judges an answer and the settlement that the facilitator knows, None where there is none."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a paid enrolment looks like under a fault: the status, what was taken, and more."""

    status: int
    spent: int
    also: Check = lambda _answer, _moved: True


def _says(**expected: object) -> Check:
    """The provider's claim about the money has these values; a tx of True means the real one."""

    def check(answer: Answer, moved: Any) -> bool:
        wanted = {
            k: moved.tx if v is True and k == "transaction" else v for k, v in expected.items()
        }
        return {key: answer.settlement.get(key) for key in wanted} == wanted

    return check


def _without_receipt(answer: Answer, _moved: Any) -> bool:
    headers = {"PAYMENT-RESPONSE", "X-Payment-Receipt"}
    return not headers & set(answer.headers) and "settlement" not in answer.json


PAID: dict[str, Case] = {
    "second_402": Case(402, 0, lambda a, _: a.json["error"] == "Payment Required"),
    "settle_false": Case(402, PRICE, _says(success=False, transaction="")),
    "settle_then_500": Case(500, PRICE, lambda a, _: "PAYMENT-RESPONSE" not in a.headers),
    "settle_then_drop": Case(GONE, PRICE),
    "drop_before_settle": Case(GONE, 0),
    "no_receipt": Case(200, PRICE, _without_receipt),
    "overcharge_receipt": Case(200, PRICE, _says(success=True, amount="5000000")),
    "pending": Case(
        402,
        PRICE,
        _says(success=False, transaction=True, errorReason="settlement_pending"),
    ),
    "replay_complaint": Case(
        402, PRICE, lambda a, _: a.json["details"] == "invalid_exact_evm_nonce_already_used"
    ),
    "upload_failed": Case(502, 0),
    "rate_limited": Case(429, 0, lambda a, _: a.headers["Retry-After"] == "1"),
    "upstream_error": Case(502, 0),
    "unavailable": Case(503, 0),
    "gateway_timeout": Case(504, 0),
    "drop": Case(GONE, 0),
    "absorbed": Case(200, 0, lambda a, _: a.json["settlement"]["success"] is False),
    "reset_midstream": Case(GONE, PRICE),
    "stall": Case(200, PRICE, _says(success=True, transaction=True)),
    "slow": Case(200, PRICE, _says(success=True, transaction=True)),
    "new_payee": Case(200, PRICE),
}

OFFERS: dict[str, Callable[[Answer], bool]] = {
    "bad_challenge": lambda a: a.challenge["accepts"][0]["amount"] == "1e6",
    "wrong_domain": lambda a: a.challenge["accepts"][0]["extra"]["name"] == "USDC",
    "new_payee": lambda a: a.challenge["accepts"][0]["payTo"].startswith("0x1111"),
    "two_challenges": lambda a: a.headers["PAYMENT-REQUIRED"] == a.headers["X-Payment-Required"],
    "no_challenge": lambda a: not {"PAYMENT-REQUIRED", "X-Payment-Required"} & set(a.headers),
}

ELSEWHERE = {"trickle", "unsafe_content", "job_failed"}
"""Faults with tests of their own below, and in the other providers' files."""


@contextmanager
def _hang_ups() -> Iterator[list[BaseException]]:
    """Collect the errors that a client has when the other side goes away."""
    caught: list[BaseException] = []
    try:
        yield caught
    except (aiohttp.ClientError, ConnectionError) as error:
        caught.append(error)


def test_the_table_is_complete() -> None:
    """Every fault that the sandbox knows is tested here."""
    assert set(PAID) | set(OFFERS) | ELSEWHERE == set(FAULTS)
    assert all(fault.tells.endswith(".") for fault in FAULTS.values())


@pytest.mark.parametrize(("name", "case"), PAID.items(), ids=PAID.keys())
async def test_paid_faults(buyer: Buyer, name: str, case: Case) -> None:
    """The client sees what the fault says, and the balance is what the table says."""
    answer = None
    with _hang_ups() as errors:
        answer = await buyer.pay("POST", f"{ENROLL}?fault={name}&fault_s=0.01", PORTRAIT)
    assert bool(errors) == (case.status == GONE)
    assert buyer.spent == case.spent
    moved = next(iter(buyer.town.facilitator.settled), None)
    assert (moved.amount if moved else 0) == case.spent
    if answer is not None:
        assert answer.status == case.status
        assert case.also(answer, moved)


@pytest.mark.parametrize(("name", "is_so"), OFFERS.items(), ids=OFFERS.keys())
async def test_offer_faults(buyer: Buyer, name: str, is_so: Callable[[Answer], bool]) -> None:
    """The challenge is wrong in the way that the fault says."""
    asked = await buyer.call("POST", f"{ENROLL}?fault={name}", PORTRAIT)
    assert asked.status == 402
    assert is_so(asked)


async def test_wrong_domain_takes_nothing(buyer: Buyer) -> None:
    """Who signs under the wrong domain is told so, and keeps the money."""
    answer = await buyer.pay("POST", f"{ENROLL}?fault=wrong_domain", PORTRAIT)
    assert answer.json["details"] == "invalid_exact_evm_token_name_mismatch"
    assert buyer.spent == 0


async def test_reset_midstream_gives_half(buyer: Buyer) -> None:
    """A reset comes after the receipt and half of the body, as a broken body and no short one."""
    url = f"{buyer.town.blockrun_url}{ENROLL}?fault=reset_midstream"
    headers = {"X-Payment": buyer.payment(await buyer.call("POST", url, PORTRAIT))}
    async with buyer.session.post(url, json=PORTRAIT, headers=headers) as response:
        assert response.status == 200
        assert "X-Payment-Receipt" in response.headers
        length, received = int(response.headers["Content-Length"]), b""
        with _hang_ups() as errors:
            async for piece in response.content.iter_any():
                received += piece
    assert errors
    assert len(received) in {0, length // 2}
    assert buyer.town.requests[-1].status == 200


async def test_status_of_a_dropped_request(buyer: Buyer) -> None:
    """A request that got no answer is written down with status 0."""
    with _hang_ups():
        await buyer.pay("POST", f"{ENROLL}?fault=settle_then_drop", PORTRAIT)
    assert [seen.status for seen in buyer.town.requests] == [402, 0]
    listed = await buyer.call("GET", f"/v1/wallet/{buyer.address}/portraits")
    assert listed.json["count"] == 1


SETTLING = ["settle_false", "settle_then_500", "no_receipt", "pending", "overcharge_receipt"]


@pytest.mark.parametrize("name", SETTLING)
async def test_settlement_faults_of_a_job(buyer: Buyer, name: str) -> None:
    """A video is paid at its poll, so that is where a fault of the settlement strikes, once."""
    submitted = await buyer.pay("POST", f"/v1/videos/generations?fault={name}", VIDEO)
    assert submitted.status == 202
    url = submitted.json["poll_url"]
    assert url.endswith(f"&fault={name}")
    buyer.clock.now += 2
    case = PAID[name]
    assert (await buyer.pay("GET", url)).status == case.status
    assert buyer.spent == 450_000
    again = await buyer.pay("GET", url)
    assert again.json["payment"]["status"] == "already_settled"
    assert buyer.spent == 450_000


async def test_no_receipt_of_a_job(buyer: Buyer) -> None:
    """Under no_receipt the finished job does not mention a payment either."""
    submitted = await buyer.pay("POST", "/v1/videos/generations?fault=no_receipt", VIDEO)
    buyer.clock.now += 2
    answer = await buyer.pay("GET", submitted.json["poll_url"])
    assert answer.json["status"] == "completed"
    assert "payment" not in answer.json


@pytest.mark.parametrize("name", ["second_402", "gateway_timeout", "rate_limited", "unavailable"])
async def test_poll_fault(buyer: Buyer, name: str) -> None:
    """A poll misbehaves as often as fault_times says, and then the job is claimed as usual."""
    query = f"poll_fault={name}&fault_times=2"
    submitted = await buyer.pay("POST", f"/v1/videos/generations?{query}", VIDEO)
    buyer.clock.now += 2
    url = submitted.json["poll_url"]
    statuses = [(await buyer.pay("GET", url)).status for _ in range(3)]
    assert statuses == [PAID[name].status, PAID[name].status, 200]
    assert buyer.spent == 450_000


async def test_faults_at_the_submission_of_a_job(buyer: Buyer) -> None:
    """A POST that fails starts no job and takes nothing."""
    for name in ("second_402", "upload_failed", "gateway_timeout"):
        answer = await buyer.pay("POST", f"/v1/videos/generations?fault={name}", VIDEO)
        assert answer.status == PAID[name].status
    assert buyer.spent == 0


async def test_two_polls_at_once(buyer: Buyer) -> None:
    """Two polls with payments of their own find a job done at once: one of them pays."""
    query = "poll_fault=stall&fault_s=0.01"
    submitted = await buyer.pay("POST", f"/v1/videos/generations?{query}", VIDEO)
    buyer.clock.now += 2
    url = submitted.json["poll_url"]
    asked = await buyer.call("GET", url)
    headers = [{"X-Payment": buyer.payment(asked)} for _ in range(2)]
    both = await asyncio.gather(*(buyer.call("GET", url, None, header) for header in headers))
    outcomes = sorted(answer.json["payment"]["status"] for answer in both)
    assert outcomes == ["already_settled", "settled"]
    assert buyer.spent == 450_000


async def test_job_failed(buyer: Buyer) -> None:
    """BlockRun takes nothing for a job that fails."""
    submitted = await buyer.pay("POST", "/v1/videos/generations?fault=job_failed", VIDEO)
    buyer.clock.now += 2
    answer = await buyer.pay("GET", submitted.json["poll_url"])
    assert answer.json["payment_status"] == "not_charged"
    assert buyer.spent == 0


async def test_trickle(buyer: Buyer) -> None:
    """Events come apart from one another, and all of them come."""
    body = CHAT | {"stream": True}
    whole = await buyer.pay("POST", "/v1/chat/completions", body)
    slow = await buyer.pay("POST", "/v1/chat/completions?fault=trickle&fault_s=0.01", body)
    assert slow.body.count(b"data: ") == whole.body.count(b"data: ") > 1


async def test_settlement_failure_of_a_chat(buyer: Buyer) -> None:
    """What is no upload absorbs no loss by itself: a payment that was spent meanwhile is a 402."""
    url = "/v1/chat/completions?fault=stall&fault_s=0.01"
    asked = await buyer.call("POST", url, CHAT)
    header = {"PAYMENT-SIGNATURE": buyer.payment(asked)}
    both = await asyncio.gather(*(buyer.call("POST", url, CHAT, header) for _ in range(2)))
    good, bad = sorted(both, key=lambda answer: answer.status)
    assert (good.status, bad.status) == (200, 402)
    assert bad.settlement["errorReason"] == "invalid_exact_evm_nonce_already_used"
    assert buyer.spent == 3_000


async def test_fault_on_a_free_route(buyer: Buyer) -> None:
    """Where nothing is for sale the general faults strike at once."""
    assert (await buyer.call("GET", "/v1/models?fault=rate_limited")).status == 429
    assert (await buyer.call("GET", "/v1/models?fault=unavailable")).status == 503
    with _hang_ups() as errors:
        await buyer.call("GET", "/v1/models?fault=drop")
    assert errors


@pytest.mark.parametrize(
    "query", ["fault=nonsense", "poll_fault=nonsense", "fault_s=-1", "fault_s=x", "fault_times=x"]
)
async def test_unknown_faults(buyer: Buyer, query: str) -> None:
    """A fault that nobody knows is a 400, lest a test that misspells it passes."""
    assert (await buyer.call("GET", f"/v1/models?{query}")).status == 400


async def test_stopping_does_not_wait_for_a_stall(
    session: aiohttp.ClientSession,
) -> None:
    """The sandbox goes down while an answer is still being delayed."""
    async with Sandbox(SandboxOptions()) as town:
        url = f"{town.blockrun_url}/v1/models?fault=slow&fault_s=600"
        with pytest.raises(TimeoutError):
            await session.get(url, timeout=aiohttp.ClientTimeout(total=0.05))
