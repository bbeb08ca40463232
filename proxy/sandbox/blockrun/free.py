"""What BlockRun tells for nothing: its models, a balance, and how it wants to be paid."""

from typing import Final

from aiohttp import web

from proxy.sandbox import money
from proxy.sandbox.blockrun.chat import BASE_PRICE
from proxy.sandbox.blockrun.order import FACTORS, RATES
from proxy.sandbox.blockrun.portraits import ENROLL_PRICE
from proxy.sandbox.facilitator import Facilitator
from proxy.sandbox.site import Site
from proxy.sandbox.wire import Json, reply

CHAT_MODELS: Final = ("openai/gpt-5-mini", "anthropic/claude-haiku-4.5")

PAID_PATHS: Final = {
    "/v1/portrait/enroll": ENROLL_PRICE,
    "/v1/realface/enroll": ENROLL_PRICE,
    "/v1/videos/generations": min(RATES.values()),
    "/v1/chat/completions": BASE_PRICE,
}
"""The least that a call to each can cost."""


class Free:
    """The free routes that are about no portrait."""

    def __init__(self, site: Site, facilitator: Facilitator) -> None:
        self._site = site
        self._facilitator = facilitator

    async def models(self, _request: web.Request) -> web.Response:
        """`GET /v1/models`."""
        data = [_model(name) for name in (*CHAT_MODELS, *RATES)]
        return reply({"object": "list", "data": data})

    async def video_models(self, _request: web.Request) -> web.Response:
        """`GET /v1/video/models`."""
        data = [
            _model(name) | {"price_per_second": money.dollars(rate), "resolutions": list(FACTORS)}
            for name, rate in RATES.items()
        ]
        return reply({"object": "list", "data": data})

    async def balance(self, request: web.Request) -> web.Response:
        """`GET /v1/balance?address=…`: what a wallet owns in the sandbox."""
        address = request.query.get("address")
        owned = self._facilitator.balance_of(address) if address else 0
        return reply({"address": address, "balance": money.dollars(owned), "currency": "USDC"})

    async def well_known(self, _request: web.Request) -> web.Response:
        """`GET /.well-known/x402`: what is for sale here."""
        resources = [
            {
                "resource": f"{self._site.origin}/api{path}",
                "method": "POST",
                "network": money.NETWORK,
                "asset": money.USDC,
                "payTo": money.SELLER,
                "minAmount": str(least),
            }
            for path, least in PAID_PATHS.items()
        ]
        return reply({"x402Version": 2, "resources": resources})

    async def openapi(self, _request: web.Request) -> web.Response:
        """`GET /openapi.json`: a bare description of the paid routes."""
        paths = {
            f"/api{path}": {"post": {"responses": {"402": {"description": "Payment Required"}}}}
            for path in PAID_PATHS
        }
        info = {"title": "BlockRun, in miniature", "version": "1"}
        return reply({"openapi": "3.1.0", "info": info, "paths": paths})


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "owned_by": name.partition("/")[0]}
