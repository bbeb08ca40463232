"""The terms: the one entry of a challenge that we accept, checked against our own tables.

Each entry is held against what is allowed in a fixed order: scheme and payment flow, network,
asset, EIP-712 domain, payee. The cheapest entry that passes is taken, the seller's order deciding
between equals. If none passes, the refusal is that of the entry that came furthest, and it says
what would have been accepted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from proxy.core.errors import Refusal
from proxy.core.money import Usd, usd_of
from proxy.core.x402.assets import Asset, AssetTable, is_address
from proxy.core.x402.challenge import BadOffer, Challenge, JsonObject, Offer

SCHEMES: Final = ("exact",)
FLOWS: Final = ("authorization", "upfront")
TRANSFER_METHODS: Final = ("eip3009",)
SHOWN_MAX: Final = 80
_ZERO: Final = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class Terms:
    """What we are about to agree to. `price` is `offer.amount` in dollars.

    `version` decides the header's form.
    """

    version: Literal[1, 2]
    offer: Offer
    asset: Asset
    resource: JsonObject | None = None
    extensions: JsonObject | None = None

    @property
    def price(self) -> Usd:
        """The amount in dollars, rounded up to a millionth."""
        return usd_of(self.offer.amount, self.asset.decimals)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a provider may be paid with and to.

    `payees` of None leaves the payee to the ledger's pin, or to nobody.
    """

    networks: tuple[str, ...]
    assets: AssetTable
    payees: tuple[str, ...] | None
    payer: str


def choose(challenge: Challenge, allowed: Allowed) -> Terms | Refusal:
    """Choose the cheapest acceptable entry of a challenge."""
    acceptable: list[Terms] = []
    refusals: list[tuple[int, Refusal]] = []
    for offer in challenge.offers:
        verdict = _judge(offer, challenge, allowed)
        if isinstance(verdict, Terms):
            acceptable.append(verdict)
        else:
            refusals.append(verdict)
    if acceptable:
        return min(acceptable, key=lambda terms: terms.price)
    return max(refusals, key=lambda pair: pair[0])[1]


def _judge(
    offer: Offer | BadOffer, challenge: Challenge, allowed: Allowed
) -> Terms | tuple[int, Refusal]:
    """Terms, or how far the entry came and why no further."""
    if isinstance(offer, BadOffer):
        return 0, Refusal(
            "challenge_invalid", f"the provider's challenge cannot be signed: {offer.reason}"
        )
    if refusal := _scheme_refusal(offer):
        return 1, refusal
    if offer.network not in allowed.networks:
        known = _listed(allowed.networks)
        return 2, Refusal(
            "network_not_allowed",
            f"network {_shown(offer.network)} is not enabled; enabled are {known}",
        )
    asset = allowed.assets.find(offer.network, offer.asset)
    if asset is None:
        known = _listed(f"{a.symbol} {a.address}" for a in allowed.assets.on(offer.network))
        return 3, Refusal(
            "asset_not_allowed",
            f"asset {_shown(offer.asset)} is not known on {offer.network}; known are {known}",
        )
    if refusal := _domain_refusal(offer, asset):
        return 4, refusal
    if refusal := _payee_refusal(offer, asset, allowed):
        return 5, refusal
    return Terms(challenge.version, offer, asset, challenge.resource, challenge.extensions)


def _scheme_refusal(offer: Offer) -> Refusal | None:
    if offer.scheme not in SCHEMES:
        return Refusal(
            "scheme_not_supported",
            f"scheme {_shown(offer.scheme)} is not supported; supported are {_listed(SCHEMES)}",
        )
    flow = offer.extra.get("paymentFlow", FLOWS[0])
    if flow not in FLOWS:
        return Refusal(
            "scheme_not_supported",
            f"payment flow {_shown(flow)} is not supported; supported are {_listed(FLOWS)}",
        )
    method = offer.extra.get("assetTransferMethod", TRANSFER_METHODS[0])
    if method not in TRANSFER_METHODS:
        known = _listed(TRANSFER_METHODS)
        return Refusal(
            "scheme_not_supported",
            f"transfer method {_shown(method)} is not supported; supported are {known}",
        )
    return None


def _domain_refusal(offer: Offer, asset: Asset) -> Refusal | None:
    """The domain comes from our table.

    A seller that says otherwise is refused rather than corrected.
    """
    for key, ours in (("name", asset.domain_name), ("version", asset.domain_version)):
        theirs = offer.extra.get(key, ours)
        if theirs != ours:
            message = (
                f"the challenge says that the token's EIP-712 {key} is {_shown(theirs)}, "
                f"but on {asset.network} it is {ours!r}"
            )
            return Refusal("challenge_invalid", message)
    return None


def _payee_refusal(offer: Offer, asset: Asset, allowed: Allowed) -> Refusal | None:
    if not is_address(offer.pay_to):
        return Refusal("challenge_invalid", "the challenge's payTo is not an address")
    pay_to = offer.pay_to.lower()
    if pay_to in (_ZERO, asset.address.lower(), allowed.payer.lower()):
        return Refusal(
            "payee_not_allowed",
            "the challenge pays to nobody, to the token itself or to our own wallet",
        )
    if allowed.payees is not None and pay_to not in {payee.lower() for payee in allowed.payees}:
        message = (
            f"{offer.pay_to} is not among the provider's allowed payees: {_listed(allowed.payees)}"
        )
        return Refusal("payee_not_allowed", message)
    return None


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"


def _shown(word: object) -> str:
    """A stranger's word as it may stand in our sentence: quoted, escaped and short."""
    text = ascii(word)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
