"""Paying: reserve, sign, and record what became of it.

The order is the promise. A hold is reserved, durably and under every cap, before the signature for
it exists; from then on the money counts, until there is evidence that it never left. No evidence
comes from the seller's word that it took nothing.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers
from proxy.core.ledger import Evidence, Limit, State, step
from proxy.core.money import USD_DECIMALS, Usd, format_units, usd_of
from proxy.core.policy import payee_scope, thing
from proxy.core.x402.authorization import (
    Authorization,
    authorize,
    digest,
    header_names,
    payment_header,
)
from proxy.core.x402.challenge import Challenge, Offer, challenge_in_body
from proxy.core.x402.receipt import Doubt, Settled, read_receipt
from proxy.core.x402.terms import Terms
from proxy.metrics import Metrics
from proxy.store import Hold, Intent, Ledger, Reserved, Stored
from proxy.upstream import Answer
from proxy.visit import Visit
from proxy.wallet import Wallet

ACCEPTED: Final = 202
PAYMENT_REQUIRED: Final = 402
ERROR_CLASS: Final = 400
FAULT_CLASS: Final = 500
CALL_SCOPE: Final = "this call"
_log = structlog.get_logger()


@dataclass(slots=True)
class Purchase:
    """A payment on its way: what was reserved, and what is known of it by now."""

    reserved: Reserved
    amount: int
    decimals: int
    symbol: str
    network: str
    payer: str
    state: State = State.RESERVED
    tx: str = ""

    @property
    def id(self) -> str:
        """The payment's id."""
        return self.reserved.payment

    @property
    def signed(self) -> bool:
        """Whether an authorization stands behind it, rather than the price table."""
        return self.payer != ""

    def header(self) -> tuple[bytes, bytes]:
        """What the client is told of it: `Farebox-Payment`."""
        words = {
            "id": self.id,
            "amount": format_units(self.amount, self.decimals),
            "asset": self.symbol,
            "network": self.network,
            "state": self.state.value,
            "tx": self.tx,
        }
        return b"Farebox-Payment", ", ".join(
            f'{name}="{word}"' for name, word in words.items() if word
        ).encode()


class Payer:
    """Spends from the one wallet, under the one ledger.

    `nonce` gives 32 random bytes, `new_id` ids that sort by time.
    """

    def __init__(
        self,
        ledger: Ledger,
        metrics: Metrics,
        clock: Callable[[], float],
        nonce: Callable[[], bytes],
        new_id: Callable[[], str],
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock
        self._nonce = nonce
        self._new_id = new_id

    async def authorize(
        self,
        visit: Visit,
        wallet: Wallet,
        terms: Terms,
        lifetime_s: int,
        payment: str | None = None,
    ) -> tuple[Purchase, Headers]:
        """Reserve for some terms and sign them: the purchase, and the headers that pay for it.

        Refused if a cap forbids it.

        With `payment`, the authorization is a further one of a payment whose earlier ones are
        dead.
        """
        authorization = authorize(
            terms, wallet.address, int(self._clock()), self._nonce(), lifetime_s
        )
        intent = self._intent(visit, payment)
        limits = visit.limits(terms.offer.pay_to)
        reserved = await self._reserve(intent, _hold(visit, terms, authorization), limits)
        purchase = Purchase(
            reserved,
            terms.offer.amount,
            terms.asset.decimals,
            terms.asset.symbol,
            terms.asset.network,
            wallet.address,
        )
        headers = _signed(
            terms,
            authorization,
            wallet,
            intent.payment,
            both=visit.config.payment_headers == "both",
        )
        return purchase, headers

    async def count(self, visit: Visit, price: Usd) -> Purchase:
        """Reserve for a call that the price table prices: there is nothing to sign, but it counts.

        Refused if a cap forbids it.
        """
        now = int(self._clock())
        hold = Hold(
            amount=price,
            usd=price,
            decimals=USD_DECIMALS,
            network="",
            asset="USD",
            pay_to=visit.provider,
            wallet=None,
            nonce=None,
            valid_after=now,
            valid_before=now + 1,
            scopes=visit.scopes,
            terms="",
        )
        reserved = await self._reserve(self._intent(visit, None), hold, visit.limits())
        return Purchase(reserved, price, USD_DECIMALS, "USD", "", "")

    def again(
        self, visit: Visit, wallet: Wallet, stored: Stored
    ) -> tuple[Purchase, Headers] | None:
        """Build a living authorization's headers once more, byte for byte.

        None if the config has another wallet by now, or no longer knows the token.
        """
        challenge = challenge_in_body(stored.terms.encode())
        asset = visit.snapshot.config.assets.find(stored.network, stored.asset)
        if (
            stored.wallet != wallet.address
            or not isinstance(challenge, Challenge)
            or not isinstance(offer := challenge.offers[0], Offer)
            or asset is None
        ):
            return None
        terms = Terms(challenge.version, offer, asset, challenge.resource, challenge.extensions)
        authorization = Authorization(
            wallet.address,
            stored.pay_to,
            offer.amount,
            stored.valid_after,
            stored.valid_before,
            stored.nonce,
        )
        purchase = Purchase(
            Reserved(stored.payment, stored.hold),
            offer.amount,
            asset.decimals,
            asset.symbol,
            asset.network,
            wallet.address,
            stored.state,
        )
        both = visit.config.payment_headers == "both"
        return purchase, _signed(terms, authorization, wallet, stored.payment, both=both)

    async def never_sent(self, purchase: Purchase) -> None:
        """Give back what was reserved for a request of which no byte left."""
        purchase.state = await self._ledger.resolve(purchase.reserved, Evidence.NEVER_SENT)
        self._metrics.payment(purchase.state)

    def lost(self, purchase: Purchase, why: str) -> None:
        """Note that the payment left and no answer came."""
        self._record(purchase, Evidence.NO_RECEIPT, note=why)

    def answered(self, purchase: Purchase, answer: Answer, *, more_to_come: bool = False) -> None:
        """Read the receipt in an answer's headers. `more_to_come`.

        The seller settles later, so its absence is no doubt yet.
        """
        receipt = read_receipt(
            answer.headers, network=purchase.network, payer=purchase.payer, amount=purchase.amount
        )
        match receipt:
            case Settled(tx) if answer.status != PAYMENT_REQUIRED:
                self._record(purchase, Evidence.RECEIPT, tx=tx, http_status=answer.status)
            case Doubt(reason, tx):
                self._record(
                    purchase, Evidence.NO_RECEIPT, tx=tx, note=reason, http_status=answer.status
                )
            case None if more_to_come:
                self._record(purchase, Evidence.SENT)  # no status: its answer may yet break off
            case _:
                self._record(
                    purchase, Evidence.NO_RECEIPT, note="no receipt", http_status=answer.status
                )

    def read_body(
        self, purchase: Purchase | None, visit: Visit, answer: Answer, fields: Mapping[str, Any]
    ) -> None:
        """Look for a receipt in a JSON answer, where the provider writes it there."""
        tx = visit.lore.settled_tx(fields)
        if purchase is not None and tx is not None and answer.status < ERROR_CLASS:
            self._record(purchase, Evidence.RECEIPT, tx=tx)

    def priced_answered(self, purchase: Purchase, status: int) -> None:
        """Judge a call that the price table prices by its status: there is no receipt."""
        if status < ERROR_CLASS:
            evidence = Evidence.RECEIPT
        else:
            evidence = Evidence.DECLINED if status < FAULT_CLASS else Evidence.NO_RECEIPT
        self._record(purchase, evidence, http_status=status)

    async def _reserve(self, intent: Intent, hold: Hold, limits: tuple[Limit, ...]) -> Reserved:
        verdict = await self._ledger.reserve(intent, hold, limits)
        if isinstance(verdict, Refusal):
            raise Refused(verdict)
        return verdict

    def _intent(self, visit: Visit, payment: str | None) -> Intent:
        request = visit.request
        return Intent(
            payment or self._new_id(),
            request.client,
            visit.provider,
            visit.route.path,
            request.method,
            request.path,
            visit.body_sha256,
            idempotency_key=visit.idempotency_key,
            fingerprint=visit.fingerprint,
            retention_s=visit.snapshot.config.idempotency.retention_s,
        )

    def _record(
        self,
        purchase: Purchase,
        evidence: Evidence,
        *,
        tx: str = "",
        note: str = "",
        http_status: int | None = None,
    ) -> None:
        """Queue what became of it: if that is lost the hold stays counted, the safe side."""
        before, purchase.state = purchase.state, step(purchase.state, evidence)
        purchase.tx = tx or purchase.tx
        future = self._ledger.resolve(
            purchase.reserved, evidence, tx=tx, note=note, http_status=http_status
        )
        future.add_done_callback(_complain)
        if purchase.state is not before:
            self._metrics.payment(purchase.state)
            if purchase.state is State.SETTLED:
                self._metrics.spent(usd_of(purchase.amount, purchase.decimals))


def _complain(future: "asyncio.Future[State]") -> None:
    if not future.cancelled() and (problem := future.exception()) is not None:
        _log.error("payment_not_recorded", problem=str(problem), counted="as if taken")


def _hold(visit: Visit, terms: Terms, authorization: Authorization) -> Hold:
    offer, request = terms.offer, visit.request
    document = {
        "x402Version": terms.version,
        "accepts": [offer.raw],
        "resource": terms.resource,
        "extensions": terms.extensions,
    }
    facts = visit.snapshot.config.networks.get(offer.network)
    jump_ratio = visit.config.jump_ratio
    return Hold(
        amount=offer.amount,
        usd=terms.price,
        decimals=terms.asset.decimals,
        network=offer.network,
        asset=terms.asset.address,
        pay_to=offer.pay_to,
        wallet=authorization.payer,
        nonce=authorization.nonce,
        valid_after=authorization.valid_after,
        valid_before=authorization.valid_before,
        scopes=(*visit.scopes, payee_scope(offer.pay_to)),
        terms=json.dumps(document, ensure_ascii=False),
        pin=visit.config.pay is not None and visit.config.pay.pay_to == "first",
        watched=facts is not None and facts.rpc_url is not None,
        thing=b"" if jump_ratio is None else thing(request.method, request.path, visit.fields),
        jump_ratio=jump_ratio,
    )


def _signed(
    terms: Terms, authorization: Authorization, wallet: Wallet, payment: str, *, both: bool
) -> Headers:
    signature = wallet.sign(digest(authorization, terms.asset))
    value = payment_header(terms, authorization, signature, payment).encode("ascii")
    return tuple((name, value) for name in header_names(terms.version, both=both))
