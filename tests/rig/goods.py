"""What every FastAPI seller of the rig sells, and a witness of what each one was sent."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PRICES_USD = {
    "GET /paid": "0.01",
    "POST /echo-paid": "0.02",
    "GET /paid-stream": "0.01",
    "GET /paid-fails": "0.01",
}
PRICED_BY_QUERY = "GET /price"
PAYMENT_HEADERS = ("payment-signature", "x-payment")
STREAM_EVENTS = 3
STREAM_PAUSE_S = 0.2


def add_goods(app: FastAPI) -> None:
    """Put the seller's routes, paid and free, into an application."""

    @app.get("/paid")
    async def paid() -> dict[str, str]:
        return {"goods": "delivered"}

    @app.get("/price")
    async def priced(usd: str) -> dict[str, str]:
        return {"goods": usd}

    @app.post("/echo-paid")
    async def echo(request: Request) -> dict[str, Any]:
        body = await request.body()
        return {"sha256": hashlib.sha256(body).hexdigest(), "body": body.decode("latin-1")}

    @app.get("/paid-fails")
    async def fails() -> JSONResponse:
        return JSONResponse({"goods": "broken"}, 500)

    @app.get("/paid-stream")
    @app.get("/free-stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(_events(), media_type="text/event-stream")

    @app.get("/free")
    async def free() -> dict[str, str]:
        return {"goods": "free"}


async def _events() -> AsyncIterator[str]:
    for number in range(STREAM_EVENTS):
        yield f"data: {number}\n\n"
        await asyncio.sleep(STREAM_PAUSE_S)


class Witness:
    """Remembers every request's payment, and tells it at `GET /-/seen`.

    It stands outside the seller's own middleware, so it sees what came over the wire.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note one request and pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == "/-/seen":
            await JSONResponse(self.seen)(scope, receive, send)
        else:
            self.seen.append(sighting(scope))
            await self.app(scope, receive, send)


def sighting(scope: Scope) -> dict[str, Any]:
    """Describe one request: method, path, and who paid with which nonce, if anyone did."""
    headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
    seen = {"method": scope["method"], "path": scope["path"], "headers": sorted(headers)}
    values = [headers[name] for name in PAYMENT_HEADERS if name in headers]
    return seen | (authorization(values[0]) if values else {"from": None, "nonce": None})


def authorization(header: bytes | str) -> dict[str, Any]:
    """Read payer, nonce and signature out of a payment header of either version."""
    payload = json.loads(base64.b64decode(header, validate=True))["payload"]
    authorized = payload["authorization"]
    return {
        "from": authorized["from"],
        "nonce": authorized["nonce"],
        "value": authorized["value"],
        "signature": payload["signature"],
    }
