"""The demo's scenes, one function each: real calls, and a check of everything that is said.

Nothing here is written down beforehand but the questions. The first answer that is not as told
raises DeviationError, and the demo is over.
"""

import asyncio
import base64
import json
from typing import Any, Final

from proxy.cli.layout import dollars, short, table
from proxy.cli.playbill import Playbill, abridged
from proxy.cli.stage import CAPS, Answer, DeviationError, Stage
from proxy.core.money import format_usd, parse_usd

PORTRAIT: Final = {"name": "Rachel", "image_url": "https://example.com/rachel.png"}
OTHER: Final = {"name": "Robin", "image_url": "https://example.com/robin.png"}
MODEL: Final = "bytedance/seedance-2.0-fast"
PROMPT: Final = "Rachel smiles warmly and waves at the camera"
CLIP_S: Final = 5
LONG_CLIP_S: Final = 15
"""At the sandbox's price for a second, more than the cap for one request."""

GLANCES: Final = 40
GLANCE_S: Final = 0.25
"""How often, and how far apart, an asset is asked after until it can be used."""


async def bare_402(bill: Playbill, here: Stage) -> None:
    """A provider asks for money."""
    bill.scene(
        "What a shop that speaks x402 says first",
        "No account, no key: without Farebox a provider answers 402 and names its price. Whoever "
        "signs that amount over to it and asks again is served. That is x402.",
    )
    answer = await bill.call(
        here, "POST", f"{here.town.blockrun_url}/v1/portrait/enroll", PORTRAIT, shows=("error",)
    )
    _expect(answer.status == 402, f"a bare call is answered {answer.status}, not 402")  # noqa: PLR2004 - HTTP
    offer = json.loads(base64.b64decode(answer.headers["X-Payment-Required"]))["accepts"][0]
    price = dollars(format_usd(int(offer["amount"])))
    bill.shown(
        f"Its X-Payment-Required header asks for {price} in USDC on {offer['network']} (Base), "
        f"payable to {short(offer['payTo'])} within {offer['maxTimeoutSeconds']} s."
    )


async def enrolment(bill: Playbill, here: Stage) -> str:
    """The daemon pays it; the answer is the new portrait's id."""
    bill.scene(
        "Enrol a portrait",
        "The same request, sent to Farebox. It reads the 402, holds the price against the caps, "
        "writes it into its ledger, signs, asks again and hands back the answer.",
    )
    url = f"{here.base_url}/v1/portrait/enroll"
    shows = ("asset_id", "name", "settlement.success")
    answer = await bill.call(here, "POST", url, PORTRAIT, shows=shows)
    paid = _paid(here, answer)
    bill.shown(f"One call, {dollars(paid)} paid; the program that made it holds no wallet.")
    return str(answer.body["asset_id"])


async def listing(bill: Playbill, here: Stage, asset: str) -> None:
    """A free call stays free."""
    bill.scene("Look at it, for free", "What costs nothing goes straight through.")
    url = f"{here.base_url}/v1/wallet/{here.wallet}/portraits"
    answer = await bill.call(here, "GET", url, shows=("count", "portraits.0.assetId"))
    _expect_ok(answer)
    _expect(not answer.payment, "a free call was paid for")
    listed = [portrait["assetId"] for portrait in answer.body["portraits"]]
    _expect(listed == [asset], f"the portraits listed are {listed}, not the one enrolled")
    bill.shown("The provider knows the portrait by our wallet. No payment, no signature.")


async def clip(bill: Playbill, here: Stage, asset: str) -> None:
    """A long job: one signature for its submission and all its polls."""
    bill.scene(
        "Generate a video with it",
        "A clip takes a while, and this provider takes the money only when it is done. Farebox "
        "waits, asks again with the same signature, and answers with the finished clip.",
    )
    before = len(here.town.requests)
    answer = await bill.call(
        here,
        "POST",
        f"{here.base_url}/v1/videos/generations",
        {"model": MODEL, "prompt": PROMPT, "duration_seconds": CLIP_S, "real_face_asset_id": asset},
        shows=("status", "data.0.url", "payment.status"),
        meanwhile="the daemon waits for the clip and polls it",
    )
    paid = _paid(here, answer)
    carried = {seen.header("PAYMENT-SIGNATURE") for seen in here.town.requests[before:]} - {None}
    _expect(answer.body["status"] == "completed", f"the clip is {answer.body['status']}")
    _expect(len(carried) == 1, f"{len(carried)} signatures were sent for one clip")
    polls = sum(seen.method == "GET" for seen in here.town.requests[before:])
    times = "once" if polls == 1 else f"{polls} times"
    bill.shown(f"Polled {times}, one signature, {dollars(paid)} paid once.")


async def sunra(bill: Playbill, here: Stage) -> None:
    """A key goes in on the way."""
    bill.scene(
        "A provider that wants an API key",
        "Sunra takes no x402 but a key. It stands in Farebox's config as a reference; the call "
        "below carries none, and gets it on the way.",
    )
    body = {"source_url": "https://example.com/rachel.png", "asset_type": "image"}
    url = f"{here.base_url}/v1/ark/assets"
    made = await bill.call(here, "POST", url, body, shows=("ark_asset_id", "status"))
    _expect_ok(made)
    await _until_active(bill, here, f"{url}/{made.body['ark_asset_id']}", "ark_url")
    _keyed(bill, here, "sunra")


async def pomex(bill: Playbill, here: Stage) -> None:
    """The path decides whose key that is."""
    bill.scene(
        "And another one",
        "PomexAI, under the same base URL: the path decides who is called, with which key.",
    )
    body = {"url": "https://example.com/rachel.png", "asset_type": "Image", "name": "rachel"}
    url = f"{here.base_url}/v1/video/assets"
    made = await bill.call(here, "POST", url, body, shows=("id", "status"))
    _expect_ok(made)
    await _until_active(bill, here, f"{url}/{made.body['id']}", "url")
    _keyed(bill, here, "pomex")


async def too_much(bill: Playbill, here: Stage) -> None:
    """Two caps say no, before anything is signed."""
    bill.scene(
        "Ask for too much",
        f"The caps allow {dollars(CAPS['per_request'])} for one request and "
        f"{dollars(CAPS['day'])} a day. First a clip of {LONG_CLIP_S} s, then one portrait more.",
    )
    known, seen = await _payments(here), len(here.town.requests)
    order = {"model": MODEL, "prompt": PROMPT, "duration_seconds": LONG_CLIP_S}
    url = f"{here.base_url}/v1/videos/generations"
    too_dear = await bill.call(here, "POST", url, order, shows=("error.message",))
    _refused(too_dear, 403, "cap_per_request")
    url = f"{here.base_url}/v1/portrait/enroll"
    another = await bill.call(here, "POST", url, OTHER, shows=("error.message",))
    _refused(another, 429, "cap_day")
    _expect("Retry-After" in another.headers, "a full day cap does not say when to come back")
    _expect(await _payments(here) == known, "a refused call left a payment in the ledger")
    asked = here.town.requests[seen:]
    _expect(len(asked) == 2, f"the provider was asked {len(asked)} times for two calls")  # noqa: PLR2004 - as it says
    _expect(not any(s.header("PAYMENT-SIGNATURE") for s in asked), "a refused call was signed for")
    bill.shown("Refused before anything was signed: the provider saw two questions and no money.")


async def receipts(bill: Playbill, here: Stage) -> dict[str, Any]:
    """The ledger and the sellers agree to the last millionth."""
    bill.scene(
        "The receipts",
        "What the daemon's ledger says, beside what the sellers' own book says that they took.",
    )
    payments, book = await _payments(here), here.town.facilitator
    rows = [
        (short(p["id"]), p["path"], dollars(p["usd"]), p["state"], short(p.get("tx", "")))
        for p in reversed(payments)
    ]
    bill.block(table(("PAYMENT", "FOR", "AMOUNT", "STATE", "TRANSACTION"), rows, right=[2]))
    bill.line()
    ledger = sorted((p.get("tx", p["state"]), int(p["amount"])) for p in payments)
    sellers = sorted((sale.tx, sale.amount) for sale in book.settled)
    says, took = (format_usd(sum(amount for _, amount in side)) for side in (ledger, sellers))
    _expect(
        ledger == sellers and len(ledger) > 0,
        f"the ledger says {dollars(says)} in {ledger}, the sellers took {dollars(took)}: {sellers}",
    )
    left = format_usd(book.balance_of(here.wallet))
    bill.shown(f"The sellers took exactly {dollars(took)}; the ledger says {dollars(says)}.")
    bill.shown(f"The wallet has {dollars(left)} of {dollars(format_usd(here.owned))} left.")
    return {"receipts": payments, "sellers_took": took, "ledger_says": says}


async def _payments(here: Stage) -> list[dict[str, Any]]:
    page = await here.call("GET", f"{here.base_url}/-/payments")
    _expect_ok(page)
    return list(page.body["payments"])


async def _until_active(bill: Playbill, here: Stage, url: str, link: str) -> None:
    """Ask after an asset until it can be used, and show the last answer only."""
    for _ in range(GLANCES):
        answer = await here.call("GET", url)
        if answer.body.get("status") != "processing":
            break
        await asyncio.sleep(GLANCE_S)
    answer = await bill.call(here, "GET", url, shows=("status", link))
    _expect_ok(answer)
    _expect(answer.body["status"] == "active", f"the asset is {answer.body['status']}, not active")


def _keyed(bill: Playbill, here: Stage, provider: str) -> None:
    """The provider got its key with every call, though none was sent to the daemon."""
    sent = {s.header("Authorization") for s in here.town.requests if s.provider == provider}
    _expect(sent == {f"Bearer {here.api_key}"}, f"{provider} was not called with its key alone")
    bill.shown("The key went in between here and there; whoever calls Farebox never sees it.")


def _paid(here: Stage, answer: Answer) -> str:
    """What an answer cost, which is what the sellers' book says was taken last."""
    _expect_ok(answer)
    last, payment = here.town.facilitator.settled[-1:], answer.payment
    _expect(bool(last), "nothing was taken for a call that costs")
    _expect(payment.get("state") == "settled", f"the payment is {payment or 'missing'}")
    _expect(payment["tx"] == last[0].tx, "the receipt names another transaction than the seller's")
    usd = format_usd(last[0].amount)
    _expect(parse_usd(payment["amount"]) == last[0].amount, f"the receipt says {payment}")
    return usd


def _refused(answer: Answer, status: int, code: str) -> None:
    said = answer.headers.get("Farebox-Error")
    _expect(
        (answer.status, said) == (status, code),
        f"expected {status} {code}, and the answer is {answer.status} {said}",
    )


def _expect_ok(answer: Answer) -> None:
    _expect(answer.status == 200, f"answered {answer.status}: {abridged(str(answer.body))}")  # noqa: PLR2004 - HTTP


def _expect(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - it is what it is about
    if not condition:
        raise DeviationError(otherwise)
