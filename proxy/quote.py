"""The dry run: what a call would cost and whether it would be let through.

It signs nothing and counts nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from proxy.carrier import Carrier
from proxy.challenges import read_terms
from proxy.core.bodies import MISLABELLED, Unread, is_json
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Reply, Request, get
from proxy.core.money import Usd, format_usd
from proxy.core.policy import price_fields, table_price
from proxy.core.x402.terms import Terms
from proxy.payer import PAYMENT_REQUIRED
from proxy.reception import BODY_METHODS
from proxy.replies import json_reply
from proxy.store import Ledger
from proxy.visit import Visit


@dataclass(frozen=True, slots=True)
class Quote:
    """A price and where it is from: `quoted` by a 402, the config's `table`, or `free`.

    A refusal says that nothing would be paid.
    """

    source: str
    price: Usd | Refusal
    terms: Terms | None = None


def wants_dry_run(request: Request) -> bool:
    """Whether the client only asks for the price.

    `Refused` for a header that says neither yes nor no.
    """
    value = (get(request.headers, b"farebox-dry-run") or b"0").strip()
    if value not in (b"0", b"1"):
        raise Refused(Refusal("bad_request", "Farebox-Dry-Run is 1, or is left out"))
    return value == b"1"


async def dry_run(
    visit: Visit, carrier: Carrier, ledger: Ledger, verdict: Refusal | None = None
) -> Reply:
    """Answer a dry run: the price, the verdict, and how full the caps are.

    A verdict that is given stands, whatever the price is.
    """
    quote = await _quote(visit, carrier)
    if verdict is None:
        verdict = await _verdict(visit, quote, ledger)
    document: dict[str, Any] = {
        "dry_run": True,
        "provider": visit.provider,
        "route": visit.route.path,
        "price": _price(quote),
        "allowed": verdict is None,
    }
    if verdict is not None:
        document.update(code=verdict.code, message=verdict.message)
    caps = [limit for limit in visit.limits(_payee(quote)) if limit.window != "call"]
    return json_reply(200, {**document, "caps": await ledger.usage(caps)})


def priced_by_table(visit: Visit) -> Usd | Refusal:
    """What the config's table says that a call costs; nothing, for one that only asks.

    A call without a key that a 402 prices costs what that says.
    """
    request = visit.request
    if visit.config.prices is None or request.method not in BODY_METHODS:
        return Usd(0)
    if visit.key is None and visit.paying_wallet() is not None:
        return Usd(0)
    fields = _price_fields(visit)
    named = {} if isinstance(fields, Unread) else fields
    model = visit.lore.model_of(request.method, request.path, named)
    return table_price(visit.config.prices, unquote(request.path), model, fields)


def _price_fields(visit: Visit) -> Mapping[str, object] | Unread:
    """What a body says of its price, if its provider will read the same."""
    if visit.unread is not None:
        return visit.unread
    if visit.fields and not is_json(visit.request.headers):
        return MISLABELLED
    return price_fields(visit.fields)


async def _quote(visit: Visit, carrier: Carrier) -> Quote:
    wallet = visit.paying_wallet()
    if wallet is None:
        return Quote("free" if visit.config.prices is None else "table", priced_by_table(visit))
    answer = await carrier.send_unpaid(visit)
    if answer.status != PAYMENT_REQUIRED:
        answer.close()
        return Quote("free", Usd(0))
    terms = await read_terms(visit, wallet, answer)
    if isinstance(terms, Terms):
        return Quote("quoted", terms.price, terms)
    if isinstance(terms, Refusal):
        return Quote("quoted", terms)
    return Quote("quoted", Refusal("challenge_invalid", "the provider's 402 holds no challenge"))


async def _verdict(visit: Visit, quote: Quote, ledger: Ledger) -> Refusal | None:
    """Why a call would not be let through at its price."""
    if isinstance(quote.price, Refusal):
        return quote.price
    wallet = visit.snapshot.wallet if quote.terms is not None else None
    payer = None if wallet is None else wallet.address
    return await ledger.would_admit(quote.price, visit.limits(_payee(quote)), payer)


def _payee(quote: Quote) -> str | None:
    return None if quote.terms is None else quote.terms.offer.pay_to


def _price(quote: Quote) -> dict[str, str]:
    price = {"source": quote.source}
    if not isinstance(quote.price, Refusal):
        price["usd"] = format_usd(quote.price)
    if quote.terms is not None:
        offer = quote.terms.offer
        price.update(
            amount=str(offer.amount), asset=quote.terms.asset.symbol, network=offer.network
        )
    return price
