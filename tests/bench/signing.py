"""What does it cost to write one payment header?"""

import base64
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from proxy.core.x402.assets import AssetTable
from proxy.core.x402.authorization import NONCE_BYTES, authorize, digest, payment_header
from proxy.core.x402.challenge import Challenge, challenge_in_body
from proxy.core.x402.terms import Allowed, Terms, choose
from proxy.wallet import Wallet
from tests.bench.daemon import KEY
from tests.bench.plan import Plan
from tests.bench.report import Row, Table, spread, take_turns, times
from tests.exchange.provider import NETWORK, challenge

PART = "signing"
_NOTES = """\
From a challenge that has been read to the finished header: nonce, authorization, EIP-712 digest,
signature, JSON, base64. All three recover to the same address; in one process, on one core."""
_FIELDS = {
    "from": "address",
    "to": "address",
    "value": "uint256",
    "validAfter": "uint256",
    "validBefore": "uint256",
    "nonce": "bytes32",
}
_TYPES = {
    "TransferWithAuthorization": [{"name": name, "type": kind} for name, kind in _FIELDS.items()]
}


def measure(plan: Plan) -> list[Table]:
    """Sign for the same terms in three ways."""
    ways = {
        "farebox": _ours(),
        "eth_account.sign_typed_data": _eth_account(),
        "x402 SDK, create_payment_payload": _sdk(),
    }
    for name, make in ways.items():
        _check(name, make())
    found = take_turns(plan.rounds, {name: _spin(make, plan.spin_s) for name, make in ways.items()})
    rows = []
    for name, rates in found.items():
        micros = [1e6 / rate for rate in rates]
        ours = [1e6 / rate for rate in found["farebox"]]
        rows.append(Row(name, (times(micros, ours), spread(micros), spread(rates))))
    columns = ("time, of farebox's", "µs per header", "headers per second")
    return [Table("Signing", PART, columns, tuple(rows), _NOTES)]


def _spin(make: Callable[[], str], seconds: float) -> Callable[[], float]:
    """How often something can be made per second."""

    def run() -> float:
        count, began = 0, time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds:
            make()
            count += 1
        return count / passed

    return run


def _ours() -> Callable[[], str]:
    wallet = Wallet(bytes.fromhex(KEY[2:]))
    found = challenge_in_body(json.dumps(challenge()).encode())
    if not isinstance(found, Challenge):
        raise TypeError(found)
    terms = choose(found, Allowed((NETWORK,), AssetTable(), None, wallet.address))
    if not isinstance(terms, Terms):
        raise TypeError(terms)

    def make() -> str:
        nonce = secrets.token_bytes(NONCE_BYTES)
        authorization = authorize(terms, wallet.address, int(time.time()), nonce, 300)
        signature = wallet.sign(digest(authorization, terms.asset))
        return payment_header(terms, authorization, signature, "pay_1")

    return make


def _eth_account() -> Callable[[], str]:
    from eth_account import Account  # noqa: PLC0415 - it takes a second, and only this needs it

    account = Account.from_key(KEY)
    document = challenge()
    (offer,) = document["accepts"]
    domain = {
        **offer["extra"],
        "chainId": int(NETWORK.partition(":")[2]),
        "verifyingContract": offer["asset"],
    }

    def make() -> str:
        before, nonce = int(time.time()) + 300, secrets.token_bytes(NONCE_BYTES)
        message = {
            "from": account.address,
            "to": offer["payTo"],
            "value": int(offer["amount"]),
            "validAfter": 0,
            "validBefore": before,
            "nonce": nonce,
        }
        signed = account.sign_typed_data(domain, _TYPES, message)
        said = {name: str(value) for name, value in message.items()}
        payload = {
            "signature": "0x" + signed.signature.hex(),
            "authorization": {**said, "nonce": "0x" + nonce.hex()},
        }
        header = {"x402Version": 2, "payload": payload, "accepted": offer}
        header["resource"] = document["resource"]
        return base64.b64encode(json.dumps(header).encode()).decode()

    return make


def _sdk() -> Callable[[], str]:
    from eth_account import Account  # noqa: PLC0415 - as above
    from x402 import PaymentRequired, x402ClientSync  # noqa: PLC0415 - two seconds
    from x402.http import encode_payment_signature_header  # noqa: PLC0415 - as above
    from x402.mechanisms.evm import EthAccountSigner  # noqa: PLC0415 - as above
    from x402.mechanisms.evm.exact import ExactEvmScheme  # noqa: PLC0415 - as above

    client = x402ClientSync()
    client.register(NETWORK, ExactEvmScheme(EthAccountSigner(Account.from_key(KEY))))
    required = PaymentRequired.model_validate(challenge())

    def make() -> str:
        return encode_payment_signature_header(client.create_payment_payload(required))

    return make


def _check(name: str, header: str) -> None:
    """Recover the signer with eth_account: three ways to the same thing, or nothing is compared."""
    from eth_account import Account  # noqa: PLC0415 - as above
    from eth_account.messages import encode_typed_data  # noqa: PLC0415 - as above

    document: dict[str, Any] = json.loads(base64.b64decode(header))
    (offer,) = challenge()["accepts"]
    domain = {
        **offer["extra"],
        "chainId": int(NETWORK.partition(":")[2]),
        "verifyingContract": offer["asset"],
    }
    said = document["payload"]["authorization"]
    message = {
        key: int(said[key]) if kind == "uint256" else said[key] for key, kind in _FIELDS.items()
    }
    signable = encode_typed_data(
        domain, _TYPES, {**message, "nonce": bytes.fromhex(said["nonce"][2:])}
    )
    signer = Account.recover_message(signable, signature=document["payload"]["signature"])
    if signer != Account.from_key(KEY).address or document["accepted"] != offer:
        raise RuntimeError(f"{name} does not sign what the others sign")
