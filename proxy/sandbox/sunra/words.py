"""How Sunra words its errors: one envelope, with a code to branch on."""

from collections.abc import Mapping
from time import time
from typing import Final

from aiohttp import web

from proxy.sandbox import ids
from proxy.sandbox.wire import Json, reply

_CODES: Final = {
    400: ("invalid_request_error", "INVALID_INPUT"),
    401: ("authentication_error", "UNAUTHORIZED"),
    403: ("rate_limit_error", "RATE_LIMIT_EXCEEDED"),
    404: ("not_found_error", "NOT_FOUND"),
    502: ("api_error", "UPSTREAM_ERROR"),
    503: ("api_error", "SERVICE_UNAVAILABLE"),
    504: ("api_error", "GATEWAY_TIMEOUT"),
}
_TOO_MANY: Final = 429


def refuse(
    request: web.Request,
    status: int,
    message: str,
    code: str | None = None,
    details: Mapping[str, object] | None = None,
) -> web.Response:
    """An error in Sunra's envelope; without a code the usual one of the status."""
    kind, usual = _CODES[status]
    error: Json = {"type": kind, "code": code or usual, "message": message}
    if details is not None:
        error["details"] = dict(details)
    return reply(
        {
            "error": error,
            "request_id": f"req_{ids.letters(12)}",
            "timestamp": ids.iso_ms(time()),
            "path": request.path,
        },
        status,
    )


def trouble(request: web.Request, status: int, message: str) -> web.Response:
    """The same for what any provider can suffer; Sunra's rate limits are a 403."""
    return refuse(request, 403 if status == _TOO_MANY else status, message)
