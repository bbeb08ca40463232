"""How PomexAI words its errors: `{"error": {"message", "type"}}`.

Its documents name no type for 404 and 503; those here follow the pattern of the named ones.
"""

from typing import Final

from aiohttp import web

from proxy.sandbox.wire import reply

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    502: "upstream_error",
    503: "service_unavailable_error",
    504: "upstream_error",
}
_TOO_MANY: Final = 429


def refuse(status: int, message: str) -> web.Response:
    """An error in PomexAI's envelope."""
    headers = {"Retry-After": "1"} if status == _TOO_MANY else None
    return reply({"error": {"message": message, "type": _TYPES[status]}}, status, headers)


def trouble(_request: web.Request, status: int, message: str) -> web.Response:
    """The same for what any provider can suffer."""
    return refuse(status, message)
