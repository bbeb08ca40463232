"""A client with a wallet: it speaks plain HTTP and signs with eth_account, step by step."""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from eth_account import Account
from eth_account.signers.local import LocalAccount
from multidict import CIMultiDictProxy
from yarl import URL

from proxy.sandbox import Sandbox

PORTRAIT = {"name": "My Spokesperson", "image_url": "https://example.com/character.jpg"}
VIDEO = {"model": "bytedance/seedance-2.0-fast", "prompt": "the character smiles warmly"}
CHAT = {"model": "openai/gpt-5-mini", "messages": [{"role": "user", "content": "Hello"}]}

TYPES = {
    "TransferWithAuthorization": [
        {"name": "from", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "validAfter", "type": "uint256"},
        {"name": "validBefore", "type": "uint256"},
        {"name": "nonce", "type": "bytes32"},
    ]
}


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def challenge(self) -> Any:
        """The version 2 challenge, from whichever header holds it."""
        header = self.headers.get("PAYMENT-REQUIRED") or self.headers["X-Payment-Required"]
        return decode(header)

    @property
    def settlement(self) -> Any:
        """The provider's claim about the money."""
        return decode(self.headers["PAYMENT-RESPONSE"])


def encode(body: object) -> str:
    """A payment header's form."""
    return base64.b64encode(json.dumps(body).encode()).decode()


def decode(header: str) -> Any:
    """Read a payment header."""
    return json.loads(base64.b64decode(header, validate=True))


def sign(
    account: LocalAccount,
    terms: Mapping[str, Any],
    now: float,
    domain: Mapping[str, Any] | None = None,
    **changed: Any,
) -> dict[str, Any]:
    """Sign an authorization for a challenge's terms, with fields of it or of its domain changed."""
    message = {
        "from": account.address,
        "to": terms["payTo"],
        "value": int(terms["amount"]),
        "validAfter": 0,
        "validBefore": int(now) + int(terms["maxTimeoutSeconds"]),
        "nonce": "0x" + secrets.token_hex(32),
    } | changed
    under = {
        "name": terms["extra"]["name"],
        "version": terms["extra"]["version"],
        "chainId": 8453,
        "verifyingContract": terms["asset"],
        **(domain or {}),
    }
    signed = account.sign_typed_data(under, TYPES, message)
    wire = {key: str(value) for key, value in message.items()}
    return {"signature": f"0x{bytes(signed.signature).hex()}", "authorization": wire}


@dataclass(frozen=True, slots=True)
class Buyer:
    """One wallet at one sandbox."""

    session: aiohttp.ClientSession
    town: Sandbox
    clock: Clock
    account: LocalAccount = field(default_factory=Account.create)

    @property
    def address(self) -> str:
        """The wallet."""
        return str(self.account.address)

    @property
    def balance(self) -> int:
        """What it still owns."""
        return self.town.facilitator.balance_of(self.address)

    @property
    def spent(self) -> int:
        """What was taken from it."""
        return self.town.options.balance - self.balance

    def another(self) -> "Buyer":
        """A second wallet at the same place."""
        return Buyer(self.session, self.town, self.clock)

    async def call(
        self,
        method: str,
        url: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; paths are BlockRun's, beginning with `/v1`."""
        if url.startswith("/"):
            base = self.town.blockrun_url
            url = (base.removesuffix("/api") if url.startswith("/api/") else base) + url
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()

        async with self.session.request(
            method,
            URL(url, encoded=True),
            data=data,
            headers=headers,
            allow_redirects=False,
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def pay(
        self,
        method: str,
        url: str,
        body: object = None,
        header: str = "PAYMENT-SIGNATURE",
    ) -> Answer:
        """Ask, sign what is asked for, and send the request again."""
        asked = await self.call(method, url, body)
        assert asked.status == 402, asked
        return await self.call(method, url, body, {header: self.payment(asked)})

    def payment(self, asked: Answer, **changed: Any) -> str:
        """A payment header for a 402."""
        challenge = asked.challenge
        terms = challenge["accepts"][0]
        payload = sign(self.account, terms, self.clock(), **changed)
        return encode(
            {
                "x402Version": 2,
                "resource": challenge["resource"],
                "accepted": terms,
                "payload": payload,
            }
        )
