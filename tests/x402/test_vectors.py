"""Signing vectors on which three independent implementations agree."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import Refusal
from proxy.core.x402.authorization import (
    authorize,
    digest,
    domain_separator,
    payment_header,
    struct_hash,
)
from proxy.core.x402.challenge import Challenge, challenge_in_body, challenge_in_headers
from proxy.core.x402.terms import Allowed, Terms, choose
from proxy.wallet import Wallet
from tests.x402.offers import ASSETS, EVERYWHERE, document, header, read

Vector = dict[str, Any]
ALL: list[Vector] = json.loads(Path(__file__).with_name("vectors.json").read_bytes())["vectors"]
PAYABLE = [v for v in ALL if v["kind"] == "eip3009" and not v.get("negative")]
NEGATIVE = [v for v in ALL if v.get("negative")]
HEADERS = [v for v in ALL if v["kind"] == "http-header"]
UNSUPPORTED = [v for v in ALL if v["kind"] in ("permit2", "svm-exact")]


def ids(vectors: list[Vector]) -> list[str]:
    """The vectors' own names."""
    return [vector["id"] for vector in vectors]


def wallet(vector: Vector) -> Wallet:
    """The vector's wallet."""
    return Wallet(bytes.fromhex(vector["privateKey"].removeprefix("0x")))


def chosen(challenge: Challenge | object, payer: str, networks: tuple[str, ...]) -> Terms | Refusal:
    """What we would agree to."""
    assert isinstance(challenge, Challenge)
    return choose(challenge, Allowed(networks, ASSETS, None, payer))


def test_the_file_is_whole() -> None:
    """Every kind that is tested here has its vectors."""
    assert [len(each) for each in (PAYABLE, NEGATIVE, HEADERS, UNSUPPORTED)] == [17, 1, 2, 3]


@pytest.mark.parametrize("vector", PAYABLE, ids=ids(PAYABLE))
def test_exact(vector: Vector) -> None:
    """Domain separator, struct hash, digest, signature and every field of the header agree."""
    purse, version = wallet(vector), vector["x402Version"]
    terms = chosen(
        read(document(vector["requirements"], version=version)), purse.address, EVERYWHERE
    )
    assert isinstance(terms, Terms)
    authorization = authorize(
        terms, purse.address, vector["now"], bytes.fromhex(vector["nonce"][2:]), 10**9
    )
    expected = vector["expected"]
    if vector["id"] == "v2-blockrun-base":
        # Its own client backdates in version 2 too: another window, and all else alike.
        authorization = replace(authorization, valid_after=vector["now"] - 600)
    signed = digest(authorization, terms.asset)
    assert "0x" + domain_separator(terms.asset).hex() == expected["domainSeparator"]
    assert "0x" + struct_hash(authorization).hex() == expected["structHash"]
    assert "0x" + signed.hex() == expected["digest"]
    assert "0x" + purse.sign(signed).hex() == expected["signature"]
    assert purse.address == expected["from"]
    value = payment_header(terms, authorization, purse.sign(signed), "pay_1")
    ours = json.loads(base64.b64decode(value))
    payload = ours["payload"]
    assert payload["authorization"] == expected["authorization"]
    assert payload["signature"] == expected["signature"]
    if "header" in expected:
        theirs = json.loads(base64.b64decode(expected["header"]["value"]))
        assert (payload, ours["accepted"]) == (theirs["payload"], theirs["accepted"])


@pytest.mark.parametrize("vector", NEGATIVE, ids=ids(NEGATIVE))
def test_domain_that_the_token_does_not_have(vector: Vector) -> None:
    """A seller that names the domain wrongly is refused, and not signed for in either way."""
    payer = wallet(vector).address
    refused = chosen(read(document(vector["requirements"])), payer, EVERYWHERE)
    assert isinstance(refused, Refusal)
    assert refused.code == "challenge_invalid"
    assert "'USD Coin'" in refused.message
    assert "'USDC'" in refused.message


@pytest.mark.parametrize("vector", HEADERS, ids=ids(HEADERS))
def test_whole_header(vector: Vector) -> None:
    """A whole payment header, decoded, is the official client's, its odd parts too."""
    purse = wallet(vector)
    challenge = (
        challenge_in_body(json.dumps(vector["challenge"]).encode())
        if vector["challengeHeader"] is None
        else challenge_in_headers(header(vector["challengeHeader"].encode()))
    )
    terms = chosen(challenge, purse.address, ("eip155:84532",))
    assert isinstance(terms, Terms)
    authorization = authorize(
        terms, purse.address, vector["now"], bytes.fromhex(vector["nonce"][2:]), 300
    )
    value = payment_header(
        terms, authorization, purse.sign(digest(authorization, terms.asset)), "pay_1"
    )
    assert json.loads(base64.b64decode(value, validate=True)) == vector["expected"]["decoded"]


@pytest.mark.parametrize("vector", UNSUPPORTED, ids=ids(UNSUPPORTED))
def test_what_we_do_not_sign(vector: Vector) -> None:
    """Permit2, `upto` and Solana are refused with a reason that lists what is supported."""
    refused = chosen(
        read(document(vector["requirements"])), "0x" + "1" * 40, ("eip155:84532", "eip155:8453")
    )
    assert isinstance(refused, Refusal)
    known = {
        "v2-permit2-exact": ("scheme_not_supported", "'permit2'", "supported are eip3009"),
        "v2-upto": ("scheme_not_supported", "'upto'", "supported are exact"),
        "svm-exact-usdc": (
            "network_not_allowed",
            "'solana:",
            "enabled are eip155:84532, eip155:8453",
        ),
    }[vector["id"]]
    assert refused.code == known[0]
    assert all(words in refused.message for words in known[1:])
