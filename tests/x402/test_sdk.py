"""Against the official SDK: for any terms, our payment header is the one that it would send.

The SDK's clock and randomness are frozen; the typed-data signer of eth-account is a second judge.
"""

import base64
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from x402 import x402ClientSync
from x402.http import encode_payment_signature_header
from x402.mechanisms.evm.exact import register_exact_evm_client
from x402.mechanisms.evm.exact.v1.client import ExactEvmSchemeV1
from x402.mechanisms.evm.signers import EthAccountSigner
from x402.schemas import PaymentRequired
from x402.schemas.v1 import PaymentRequiredV1

from proxy.core.x402.assets import V1_NETWORKS, AssetTable
from proxy.core.x402.authorization import authorize, digest, payment_header
from proxy.core.x402.challenge import Challenge, challenge_in_body, challenge_in_headers
from proxy.core.x402.terms import Terms, choose
from tests.x402.offers import EVERYWHERE, KEY, WALLET, allowed, header

Json = dict[str, Any]
SEEN: dict[str, Any] = {"now": 0.0, "nonce": bytes(32)}
TABLE = AssetTable()
NAMES = sorted(name for name, network in V1_NETWORKS.items() if network in EVERYWHERE)
JUDGED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
words = st.sampled_from(["a", "info", "schema", "x-y", "été", "日本", "zz"])
values = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(words, values, min_size=1, max_size=3)
addresses = st.binary(min_size=20, max_size=20).filter(any).map(lambda raw: "0x" + raw.hex())
nonces = st.binary(min_size=32, max_size=32)
clocks = st.floats(1_000_000, 4_000_000_000)
amounts = st.integers(1, 2**256 - 1) | st.integers(1, 10_000_000)
timeouts = st.integers(10, 86_400)


@st.composite
def cased(draw: st.DrawFn, plain: st.SearchStrategy[str]) -> str:
    """An address in a case of its own, as sellers copy them from anywhere."""
    address = draw(plain)
    style = draw(st.sampled_from(["lower", "upper", "mixed"]))
    if style == "lower":
        return address.lower()
    if style == "upper":
        return "0x" + address[2:].upper()
    flips = draw(st.lists(st.booleans(), min_size=40, max_size=40))
    pairs = zip(address[2:], flips, strict=True)
    return "0x" + "".join(c.upper() if flip else c.lower() for c, flip in pairs)


@st.composite
def entries_v2(draw: st.DrawFn) -> Json:
    """One entry of a version 2 challenge."""
    asset = draw(st.sampled_from(TABLE.assets))
    extra = draw(st.dictionaries(words, values, max_size=2))
    return {
        "scheme": "exact",
        "network": asset.network,
        "amount": str(draw(amounts)),
        "asset": draw(cased(st.just(asset.address))),
        "payTo": draw(cased(addresses)),
        "maxTimeoutSeconds": draw(timeouts),
        "extra": {**extra, "name": asset.domain_name, "version": asset.domain_version},
    }


@st.composite
def entries_v1(draw: st.DrawFn) -> Json:
    """One entry of a version 1 challenge."""
    name = draw(st.sampled_from(NAMES))
    (asset,) = TABLE.on(V1_NETWORKS[name])
    return {
        "scheme": "exact",
        "network": name,
        "maxAmountRequired": str(draw(amounts)),
        "resource": "https://api.example.com/" + draw(texts),
        "description": draw(texts),
        "mimeType": "application/json",
        "payTo": draw(cased(addresses)),
        "maxTimeoutSeconds": draw(timeouts),
        "asset": draw(cased(st.just(asset.address))),
        "extra": {"name": asset.domain_name, "version": asset.domain_version},
    }


resources = st.none() | st.builds(
    lambda path, description: {
        "url": f"https://api.example.com/{path}",
        "description": description,
        "mimeType": "application/json",
    },
    texts,
    texts,
)


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[x402ClientSync]:
    """The official client, with our key, and with a clock and a nonce that the test owns."""
    client = x402ClientSync()
    signer = EthAccountSigner(Account.from_key(KEY))
    register_exact_evm_client(client, signer)
    client.register_v1("ethereum", ExactEvmSchemeV1(signer))  # known to the SDK, left out there
    client.set_spend_controls(False)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: SEEN["now"])
        patch.setattr(os, "urandom", lambda _size: SEEN["nonce"])
        yield client


def theirs(client: x402ClientSync, challenge: Json, now: float, nonce: bytes) -> Json:
    """The payment that the SDK makes of a challenge, from its own header."""
    SEEN.update(now=now, nonce=nonce)
    kind = PaymentRequired if challenge["x402Version"] == 2 else PaymentRequiredV1
    payload = client.create_payment_payload(kind.model_validate(challenge))
    found: Json = json.loads(base64.b64decode(encode_payment_signature_header(payload)))
    return found


def ours(challenge: Json, now: float, nonce: bytes) -> tuple[Json, Terms]:
    """The payment that we make of it."""
    read = (
        challenge_in_headers(header(challenge))
        if challenge["x402Version"] == 2
        else challenge_in_body(json.dumps(challenge).encode())
    )
    assert isinstance(read, Challenge)
    terms = choose(read, allowed(networks=EVERYWHERE))
    assert isinstance(terms, Terms)
    auth = authorize(terms, WALLET.address, int(now), nonce, 10**9)
    signature = WALLET.sign(digest(auth, terms.asset))
    value = payment_header(terms, auth, signature, "pay_1")
    return json.loads(base64.b64decode(value, validate=True)), terms


@JUDGED
@given(
    entry=entries_v2(),
    resource=resources,
    extensions=st.none() | objects,
    error=texts,
    now=clocks,
    nonce=nonces,
)
def test_version_2(
    sdk: x402ClientSync,
    entry: Json,
    resource: Json | None,
    extensions: Json | None,
    error: str,
    now: float,
    nonce: bytes,
) -> None:
    """Field by field the same, signature, window, nonce, echo and all."""
    challenge: Json = {"x402Version": 2, "error": error, "accepts": [entry]}
    challenge |= {} if resource is None else {"resource": resource}
    challenge |= {} if extensions is None else {"extensions": extensions}
    mine, terms = ours(challenge, now, nonce)
    assert mine == theirs(sdk, challenge, now, nonce)
    oracle(mine, terms)


@JUDGED
@given(entry=entries_v1(), now=clocks, nonce=nonces)
def test_version_1(sdk: x402ClientSync, entry: Json, now: float, nonce: bytes) -> None:
    """The same for the older protocol, with its names for networks and its backdated window."""
    challenge: Json = {"x402Version": 1, "error": "", "accepts": [entry]}
    mine, terms = ours(challenge, now, nonce)
    assert mine == theirs(sdk, challenge, now, nonce)
    oracle(mine, terms)


@settings(max_examples=40, deadline=None)
@given(entry=entries_v2(), now=clocks, nonce=nonces)
@example(
    entry={"scheme": "exact", "network": "eip155:8453", "amount": str(2**256 - 1),
           "asset": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "payTo": "0x" + "f" * 40,
           "maxTimeoutSeconds": 10, "extra": {}},
    now=1_000_000.0, nonce=bytes(32),
)  # fmt: skip
def test_domain_that_the_seller_leaves_out(entry: Json, now: float, nonce: bytes) -> None:
    """Without a name in `extra` the signature is the one that our table gives."""
    bare = {**entry, "extra": {}}
    challenge: Json = {"x402Version": 2, "accepts": [bare]}
    mine, terms = ours(challenge, now, nonce)
    assert mine["accepted"] == bare
    oracle(mine, terms)


def oracle(payment: Json, terms: Terms) -> None:
    """Hold a payment's signature against eth-account, which signs the same typed data itself."""
    said = payment["payload"]["authorization"]
    message = {
        **said,
        **{key: int(said[key]) for key in ("value", "validAfter", "validBefore")},
        "nonce": bytes.fromhex(said["nonce"][2:]),
    }
    fields = {
        "from": "address", "to": "address", "value": "uint256", "validAfter": "uint256",
        "validBefore": "uint256", "nonce": "bytes32",
    }  # fmt: skip
    signable = encode_typed_data(
        {
            "name": terms.asset.domain_name,
            "version": terms.asset.domain_version,
            "chainId": int(terms.offer.network.split(":")[1]),
            "verifyingContract": terms.asset.address,
        },
        {"TransferWithAuthorization": [{"name": k, "type": v} for k, v in fields.items()]},
        message,
    )
    signed = Account.from_key(KEY).sign_message(signable)
    assert payment["payload"]["signature"] == "0x" + bytes(signed.signature).hex()
    assert Account.recover_message(signable, signature=signed.signature) == WALLET.address
