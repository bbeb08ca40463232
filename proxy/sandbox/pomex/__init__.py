"""PomexAI in miniature: a bearer key, verified people, their assets, videos of them."""

from aiohttp import web

from proxy.sandbox.files import FOLDER, Files
from proxy.sandbox.pomex.assets import Assets
from proxy.sandbox.pomex.generations import Generations
from proxy.sandbox.pomex.sessions import Sessions
from proxy.sandbox.pomex.words import trouble
from proxy.sandbox.site import Next, Site

SCHEMES = ("bearer",)

__all__ = ["SCHEMES", "routes", "trouble"]


def routes(site: Site) -> list[web.RouteDef]:
    """Everything that PomexAI serves."""
    sessions, files = Sessions(site), Files(site)
    assets = Assets(site, sessions.groups, files)
    generations = Generations(site, assets, files)
    served: list[tuple[str, str, Next]] = [
        ("POST", "/v1/video/assets/sessions", sessions.create),
        ("POST", "/v1/video/assets", assets.upload),
        ("GET", "/v1/video/assets", assets.list),
        ("GET", "/v1/video/assets/{id}", assets.get),
        ("POST", "/v1/video/generations", generations.create),
        ("GET", "/v1/video/generations/{id}", generations.get),
        ("DELETE", "/v1/video/generations/{id}", generations.cancel),
        ("*", "/{tail:.*}", _nothing),
    ]
    behind_key = [
        web.route(verb, path, site.misbehaving(handler)) for verb, path, handler in served
    ]
    return [
        web.get("/h5/{token}", sessions.scan),
        web.get(f"{FOLDER}/{{name}}", files.temporary),
        *behind_key,
    ]


async def _nothing(request: web.Request) -> web.Response:
    return trouble(request, 404, "Resource not found")
