"""A seller with one thing to sell, which it hands over when it is told to."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

NETWORK = "eip155:84532"
TX = "0x" + "ab" * 32
OFFER = {
    "scheme": "exact",
    "network": NETWORK,
    "amount": "10000",
    "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
    "maxTimeoutSeconds": 60,
    "extra": {"name": "USDC", "version": "2"},
}


@dataclass
class SlowSeller:
    """Takes a payment at once and answers it only after `may_answer`."""

    url: str = ""
    paid: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def provider(self) -> dict[str, Any]:
        """Describe it as a provider, for a config."""
        return {"kind": "http", "base_url": self.url, "pay": {"networks": [NETWORK]}}

    async def sell(self, request: web.Request) -> web.Response:
        """Ask for a payment, or answer one."""
        if "PAYMENT-SIGNATURE" not in request.headers:
            challenge = {"x402Version": 2, "resource": {"url": "/"}, "accepts": [OFFER]}
            return web.Response(status=402, headers={"PAYMENT-REQUIRED": _encoded(challenge)})
        self.paid.set()
        await self.may_answer.wait()
        receipt = {"success": True, "transaction": TX, "network": NETWORK}
        return web.Response(text="goods", headers={"PAYMENT-RESPONSE": _encoded(receipt)})


@asynccontextmanager
async def selling() -> AsyncIterator[SlowSeller]:
    """Run a seller on loopback."""
    seller = SlowSeller()
    shop = web.Application()
    shop.router.add_get("/goods", seller.sell)
    async with TestServer(shop) as server:
        seller.url = str(server.make_url("")).rstrip("/")
        try:
            yield seller
        finally:
            seller.may_answer.set()


def _encoded(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()
