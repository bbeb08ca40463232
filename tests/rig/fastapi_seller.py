"""A version 2 seller: FastAPI with the payment middleware of the official Python SDK.

Run as `python -m tests.rig.fastapi_seller FACILITATOR_URL PAY_TO`.
"""

import sys
from typing import Any

from fastapi import FastAPI
from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import payment_middleware
from x402.http.types import HTTPRequestContext, PaymentOption, RouteConfig
from x402.mechanisms.evm.exact import register_exact_evm_server

from tests.rig.chain import NETWORK
from tests.rig.goods import PRICED_BY_QUERY, PRICES_USD, Witness, add_goods
from tests.rig.uvicorn_service import serve


def application(facilitator_url: str, pay_to: str) -> Witness:
    """Build the seller; the facilitator must be up, since the SDK asks it what it supports."""
    client = HTTPFacilitatorClient(FacilitatorConfig(url=facilitator_url))
    server = x402ResourceServer(client)
    register_exact_evm_server(server, NETWORK)

    def costs(price: Any) -> RouteConfig:
        return RouteConfig(accepts=PaymentOption("exact", pay_to, price, NETWORK))

    routes = {route: costs(f"${usd}") for route, usd in PRICES_USD.items()}
    routes[PRICED_BY_QUERY] = costs(_asked_for)
    app = FastAPI()
    app.middleware("http")(payment_middleware(routes, server))
    add_goods(app)
    return Witness(app)


def _asked_for(context: HTTPRequestContext) -> str:
    return f"${context.adapter.get_query_param('usd')}"


if __name__ == "__main__":
    serve(application(*sys.argv[1:]))
