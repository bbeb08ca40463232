"""The receipt: what the seller claims to have done with the money.

A receipt is a claim, never a proof. It settles a payment in our books only when it fits what was
signed: success, on our network, from our wallet, for no more than was authorized. Whatever else it
says leaves the outcome unknown, and unknown counts as taken.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from proxy.core.http import Headers, get
from proxy.core.money import parse_amount
from proxy.core.strict_json import NotStrictJson, loads
from proxy.core.x402.assets import V1_NETWORKS
from proxy.core.x402.challenge import HEADER_BYTES_MAX

HEADER_NAMES: Final = (b"payment-response", b"x-payment-response")
_TX = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settled:
    """The seller claims the money, and the claim fits what was signed. `tx` may be empty.

    Not all sellers name one.
    """

    tx: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """The seller's word leaves open whether the money was or will be taken.

    `reason` is ours, quoting nothing of theirs.
    """

    reason: str
    tx: str = ""


def read_receipt(
    headers: Headers, *, network: str, payer: str, amount: int
) -> Settled | Doubt | None:
    """Read the receipt that an answer's headers carry, held against what was signed.

    None where there is none.
    """
    value = next(
        (found for name in HEADER_NAMES if (found := get(headers, name)) is not None), None
    )
    if value is None:
        return _bare_receipt(get(headers, b"x-payment-receipt"))
    if len(value) > HEADER_BYTES_MAX:
        return Doubt("the receipt is too large to read")
    try:
        document = loads(base64.b64decode(value, validate=True))
    except (binascii.Error, NotStrictJson):
        return Doubt("the receipt is not base64 of JSON")
    return judge_receipt(document, network=network, payer=payer, amount=amount)


def judge_receipt(document: object, *, network: str, payer: str, amount: int) -> Settled | Doubt:
    """Hold a receipt's content against what was signed: a claim that does not fit is a doubt."""
    if not isinstance(document, dict):
        return Doubt("the receipt is not a JSON object")
    tx = _tx(document.get("transaction"))
    if document.get("success") is not True:
        return Doubt("the receipt says that settling failed", tx)
    claimed = document.get("network", network)
    if V1_NETWORKS.get(claimed, claimed) != network if isinstance(claimed, str) else True:
        return Doubt("the receipt names another network", tx)
    their_payer = document.get("payer")
    if isinstance(their_payer, str) and their_payer and their_payer.lower() != payer.lower():
        return Doubt("the receipt names another payer", tx)
    their_amount = document.get("amount")
    if their_amount not in (None, "") and (parse_amount(their_amount) or amount + 1) > amount:
        return Doubt("the receipt claims more than was authorized", tx)
    return Settled(tx)


def _bare_receipt(value: bytes | None) -> Settled | None:
    """BlockRun names the transaction alone in `X-Payment-Receipt`."""
    tx = _tx(value.decode("ascii", "replace")) if value is not None else ""
    return Settled(tx) if tx else None


def _tx(value: object) -> str:
    return value if isinstance(value, str) and _TX.fullmatch(value) else ""
