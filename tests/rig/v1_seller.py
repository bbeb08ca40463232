"""A version 1 seller in Python, for the fast tests.

The official Python SDK sells in version 2 only. This one speaks version 1 in the way of the
official `x402-express` 1.2.0 (verify, work, settle; every failure a 402 with its reason in the
body), with the SDK's own version 1 models, and leaves every judgement to the official facilitator.
`make slow` runs the real Express sellers. Run as `python -m tests.rig.v1_seller URL PAY_TO`.
"""

import base64
import binascii
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.schemas.v1 import PaymentPayloadV1, PaymentRequiredV1, PaymentRequirementsV1

from tests.rig.chain import NETWORK_V1, USDC, USDC_DOMAIN
from tests.rig.goods import PRICED_BY_QUERY, PRICES_USD, Witness, add_goods
from tests.rig.uvicorn_service import serve

Handler = Callable[[Request], Awaitable[Response]]
BAD_STATUS = 400


def application(facilitator_url: str, pay_to: str) -> Witness:
    """Build the seller: a payment gate before the goods."""
    facilitator = HTTPFacilitatorClient(FacilitatorConfig(url=facilitator_url))
    app = FastAPI()

    @app.middleware("http")
    async def gate(request: Request, handler: Handler) -> Response:
        usd = _price_usd(request)
        if usd is None:
            return await handler(request)
        terms = _terms(request, usd, pay_to)
        payment = _payment(request.headers.get("x-payment"))
        if payment is None:
            return _challenge(terms, "X-PAYMENT header is required")
        verdict = await facilitator.verify(payment, terms)
        if not verdict.is_valid:
            return _challenge(terms, verdict.invalid_reason)
        response = await handler(request)
        if response.status_code >= BAD_STATUS:
            return response
        settled = await facilitator.settle(payment, terms)
        if not settled.success:
            return _challenge(terms, settled.error_reason)
        receipt = settled.model_dump_json(by_alias=True, exclude_none=True)
        response.headers["X-PAYMENT-RESPONSE"] = base64.b64encode(receipt.encode()).decode()
        return response

    add_goods(app)
    return Witness(app)


def _price_usd(request: Request) -> str | None:
    route = f"{request.method} {request.url.path}"
    return request.query_params.get("usd") if route == PRICED_BY_QUERY else PRICES_USD.get(route)


def _terms(request: Request, usd: str, pay_to: str) -> PaymentRequirementsV1:
    return PaymentRequirementsV1(
        scheme="exact",
        network=NETWORK_V1,
        max_amount_required=str(int(Decimal(usd) * 10**6)),
        resource=str(request.url.replace(query="")),
        description="",
        mime_type="",
        pay_to=pay_to,
        max_timeout_seconds=60,
        asset=USDC,
        extra=dict(USDC_DOMAIN),
    )


def _payment(header: str | None) -> PaymentPayloadV1 | None:
    """Read the payment; garbage counts as none, as with the Express seller."""
    try:
        return PaymentPayloadV1.model_validate_json(base64.b64decode(header or "", validate=True))
    except (binascii.Error, ValidationError):
        return None


def _challenge(terms: PaymentRequirementsV1, error: str | None) -> JSONResponse:
    challenge = PaymentRequiredV1(error=error, accepts=[terms])
    return JSONResponse(challenge.model_dump(by_alias=True, exclude_none=True), 402)


if __name__ == "__main__":
    serve(application(*sys.argv[1:]))
