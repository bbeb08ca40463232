"""Sunra in miniature: a bearer key, a queue, and the Ark Assets that its relay models take."""

from aiohttp import web

from proxy.sandbox.files import FOLDER, Files
from proxy.sandbox.site import Next, Site
from proxy.sandbox.sunra.assets import ArkAssets
from proxy.sandbox.sunra.queue import Queue
from proxy.sandbox.sunra.words import trouble

SCHEMES = ("bearer", "key")

__all__ = ["SCHEMES", "routes", "trouble"]


def routes(site: Site) -> list[web.RouteDef]:
    """Everything that Sunra serves."""
    files = Files(site)
    assets = ArkAssets(site, files)
    queue = Queue(site, assets, files)
    served: list[tuple[str, str, Next]] = [
        ("POST", "/v1/ark/assets", assets.create),
        ("POST", "/v1/ark/assets/list", assets.list),
        ("GET", "/v1/ark/assets/{id}", assets.get),
        ("DELETE", "/v1/ark/assets/{id}", assets.delete),
        ("GET", "/v1/queue/requests/{id}/status", queue.status),
        ("GET", "/v1/queue/requests/{id}/status/stream", queue.stream),
        ("GET", "/v1/queue/requests/{id}", queue.result),
        ("PUT", "/v1/queue/requests/{id}/cancel", queue.cancel),
        ("POST", "/v1/queue/{model:.+}", queue.submit),
        ("*", "/{tail:.*}", _nothing),
    ]
    behind_key = [
        web.route(verb, path, site.misbehaving(handler)) for verb, path, handler in served
    ]
    return [web.get(f"{FOLDER}/{{name}}", files.permanent), *behind_key]


async def _nothing(request: web.Request) -> web.Response:
    return trouble(request, 404, "Not found")
