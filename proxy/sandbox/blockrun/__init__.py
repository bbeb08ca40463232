"""BlockRun in miniature: paid by x402 in two steps, with header names of its own.

Every route is served under `/v1` and `/api/v1`, which are the same upstream. What is not here is a
404.
"""

from aiohttp import web

from proxy.sandbox.blockrun.books import Books
from proxy.sandbox.blockrun.chat import Chat
from proxy.sandbox.blockrun.free import Free
from proxy.sandbox.blockrun.portraits import Portraits
from proxy.sandbox.blockrun.videos import Videos
from proxy.sandbox.dialect import DIALECTS
from proxy.sandbox.facilitator import Facilitator
from proxy.sandbox.files import FOLDER, Files
from proxy.sandbox.money import units
from proxy.sandbox.site import Next, Site
from proxy.sandbox.till import Till
from proxy.sandbox.wire import reply

RETRY_AFTER_S = 1
SOURCES = "/sources"
"""Where the makers' own copies of clips are, which do not stay."""


def trouble(_request: web.Request, status: int, message: str) -> web.Response:
    """An error as BlockRun words it."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 429 else None  # noqa: PLR2004 - HTTP
    return reply({"error": message}, status, headers)


def routes(site: Site, facilitator: Facilitator) -> list[web.RouteDef]:
    """Everything that BlockRun serves."""
    till, books = Till(site, facilitator), Books()
    files, sources = Files(site), Files(site, SOURCES)
    portraits, videos = Portraits(site, till, books), Videos(site, till, books, files, sources)
    free = Free(site, facilitator)
    costly: list[tuple[str, str, Next]] = [
        ("POST", "/v1/portrait/enroll", portraits.enroll),
        ("POST", "/v1/realface/enroll", portraits.enroll_face),
        ("POST", "/v1/videos/generations", videos.submit),
        ("GET", "/v1/videos/generations/{id}", videos.poll),
        ("POST", "/v1/chat/completions", Chat(site, till).complete),
    ]
    costless: list[tuple[str, str, Next]] = [
        ("POST", "/v1/realface/init", portraits.init_face),
        ("GET", "/v1/realface/status", portraits.face_status),
        ("GET", "/v1/wallet/{address}/portraits", portraits.list_portraits),
        ("GET", "/v1/wallet/{address}/realfaces", portraits.list_faces),
        ("GET", "/v1/models", free.models),
        ("GET", "/v1/video/models", free.video_models),
        ("GET", "/v1/balance", free.balance),
        ("GET", "/.well-known/x402", free.well_known),
        ("GET", "/openapi.json", free.openapi),
    ]
    gentle = [(verb, path, site.misbehaving(handler)) for verb, path, handler in costless]
    served = [
        web.route(verb, prefix + path, handler)
        for prefix in ("", "/api")
        for verb, path, handler in [*costly, *gentle]
    ]
    return [
        *served,
        web.get("/h5/{token}", portraits.scan),
        web.get(f"{FOLDER}/{{name}}", files.permanent),
        web.get(f"{SOURCES}/{{name}}", sources.temporary),
        web.route("*", "/{tail:.*}", site.misbehaving(_nothing)),
    ]


@web.middleware
async def switches(request: web.Request, handler: Next) -> web.StreamResponse:
    """Refuse a way of asking, or a price, that cannot be meant."""
    known = ", ".join(DIALECTS)
    if request.query.get("challenge", "blockrun") not in DIALECTS:
        return reply({"error": f"unknown challenge; known: {known}"}, 400)
    try:
        units(request.query.get("price", "0"))
    except ValueError:
        return reply({"error": "price is a dollar amount such as 0.50"}, 400)
    return await handler(request)


async def _nothing(_request: web.Request) -> web.Response:
    return reply({"error": "Not found"}, 404)
