"""The bearer key that Sunra and PomexAI want, before anything else."""

import hmac
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.sandbox.site import Next, Site

OPEN_TO_ALL: Final = ("/h5/", "/files/")
"""Links that end users and players open: their secret is in the URL."""


def keyed(site: Site, schemes: tuple[str, ...]) -> Middleware:
    """Build the middleware that answers 401 without the sandbox's key."""

    @web.middleware
    async def check(request: web.Request, handler: Next) -> web.StreamResponse:
        if request.path.startswith(OPEN_TO_ALL):
            return await handler(request)
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        wanted = site.options.api_key.encode()
        is_right = hmac.compare_digest(key.strip().encode(errors="surrogateescape"), wanted)
        if scheme.lower() not in schemes or not is_right:
            return site.trouble(request, 401, "Missing or invalid API key")
        return await handler(request)

    return check
