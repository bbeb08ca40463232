"""The official facilitator as a small HTTP service over the private chain, with a tally.

Run as `python -m tests.rig.facilitator RPC_URL PRIVATE_KEY`. All judgement is the SDK's; the code
here only carries JSON to it and counts what came out.
"""

import sys
import threading
from collections import Counter
from typing import Any

from fastapi import FastAPI
from x402 import x402FacilitatorSync
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.exact import register_exact_evm_facilitator
from x402.schemas.helpers import parse_payment_payload, parse_payment_requirements

from tests.rig.chain import NETWORK
from tests.rig.uvicorn_service import serve


class Signer(FacilitatorWeb3Signer):
    """The SDK's own, which forgets the number of a transaction that did not get out.

    It counts them on by itself, so that one which the node never saw would leave a gap, and all
    later ones would wait behind it for ever.
    """

    def write_contract(self, *args: Any, **kwargs: Any) -> str:
        """Send a transaction; if that fails, count anew from what the node has."""
        try:
            return super().write_contract(*args, **kwargs)
        except Exception:
            with self._nonce_lock:
                self._next_nonce = None
            raise


def application(rpc_url: str, private_key: str) -> FastAPI:
    """Build the service: verify, settle and supported as the protocol has them, and a tally."""
    judge = x402FacilitatorSync()
    register_exact_evm_facilitator(judge, Signer(private_key, rpc_url), NETWORK)
    app = FastAPI()
    tally: Counter[str] = Counter()
    lock = threading.Lock()

    def count(event: str) -> None:
        with lock:
            tally[event] += 1

    # Plain functions: the SDK's chain calls block, and FastAPI runs these in threads.
    @app.post("/verify")
    def verify(body: dict[str, Any]) -> Any:
        result = judge.verify(*_parsed(body))
        count("verified" if result.is_valid else "refused")
        return result.model_dump(by_alias=True, exclude_none=True)

    @app.post("/settle")
    def settle(body: dict[str, Any]) -> Any:
        result = judge.settle(*_parsed(body))
        count("settled" if result.success else "not_settled")
        return result.model_dump(by_alias=True, exclude_none=True)

    @app.get("/supported")
    def supported() -> Any:
        return judge.get_supported().model_dump(by_alias=True, exclude_none=True)

    @app.get("/tally")
    def totals() -> dict[str, int]:
        return dict(tally)

    return app


def _parsed(body: dict[str, Any]) -> tuple[Any, Any]:
    version = body["paymentPayload"]["x402Version"]
    return (
        parse_payment_payload(body["paymentPayload"]),
        parse_payment_requirements(version, body["paymentRequirements"]),
    )


if __name__ == "__main__":
    serve(application(*sys.argv[1:]))
