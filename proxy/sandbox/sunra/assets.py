"""Sunra's Ark Assets: register a face, wait until it is active, use it on a relay model."""

import posixpath
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from proxy.sandbox import ids
from proxy.sandbox.files import Files
from proxy.sandbox.site import Site
from proxy.sandbox.sunra.words import refuse
from proxy.sandbox.wire import Json, read_object, reply

KINDS: Final = {
    "image": frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}),
    "video": frozenset({".mp4", ".mov", ".webm", ".avi", ".mkv"}),
    "audio": frozenset({".mp3", ".wav", ".m4a", ".aac", ".ogg"}),
}
_ENDINGS: Final = {"image": ".png", "video": ".mp4", "audio": ".wav"}
"""What an asset is kept as, whatever it was given as."""

STATUSES: Final = ("processing", "active", "failed")
PAGE_SIZE: Final = 20
PAGE_SIZE_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class ArkAsset:
    """One registered face, voice or clip."""

    id: str
    ark_asset_id: str
    name: str
    asset_type: str
    source_url: str
    created_at: float


class ArkAssets:
    """The four asset routes, and the look-up that the queue needs."""

    def __init__(self, site: Site, files: Files) -> None:
        self._site = site
        self._files = files
        self._assets: dict[str, ArkAsset] = {}

    async def create(self, request: web.Request) -> web.Response:
        """`POST /v1/ark/assets`."""
        body = await read_object(request)
        if body is None:
            return refuse(request, 400, "body must be a JSON object")
        url, name, kind = (body.get(key) for key in ("source_url", "name", "asset_type"))
        if not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"}:
            return refuse(request, 400, "source_url must be a publicly accessible URL")
        if kind is not None and kind not in KINDS:
            return refuse(request, 400, "asset_type must be image, video or audio")
        if name is not None and not isinstance(name, str):
            return refuse(request, 400, "name must be a string")
        now, file = self._site.clock(), posixpath.basename(urlsplit(url).path)
        asset = ArkAsset(
            id=ids.letters(24, "0123456789abcdef"),
            ark_asset_id=ids.sunra_asset(now),
            name=name or file,
            asset_type=str(kind or _inferred(file)),
            source_url=url,
            created_at=now,
        )
        self._assets[asset.ark_asset_id] = asset
        return reply(self._shown(asset))

    async def get(self, request: web.Request) -> web.Response:
        """`GET /v1/ark/assets/{ark_asset_id}`."""
        asset = self._assets.get(request.match_info["id"])
        if asset is None:
            return refuse(request, 404, "Asset not found")
        return reply(self._shown(asset))

    async def list(self, request: web.Request) -> web.Response:
        """`POST /v1/ark/assets/list`."""
        body = await read_object(request) if await request.read() else {}
        if body is None:
            return refuse(request, 400, "body must be a JSON object")
        wanted = body.get("status")
        if wanted is not None and wanted not in STATUSES:
            return refuse(request, 400, "status must be processing, active or failed")
        page, size = body.get("page", 1), body.get("page_size", PAGE_SIZE)
        if not _is_positive(page) or not _is_positive(size):
            return refuse(request, 400, "page and page_size must be positive integers")
        page, size = int(str(page)), min(int(str(size)), PAGE_SIZE_MAX)
        newest_first = reversed(self._assets.values())
        found = [a for a in newest_first if wanted in {None, self.status_of(a.ark_asset_id)}]
        shown = [self._shown(asset) for asset in found[(page - 1) * size : page * size]]
        return reply({"items": shown, "total": len(found), "page": page, "page_size": size})

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /v1/ark/assets/{ark_asset_id}`."""
        if self._assets.pop(request.match_info["id"], None) is None:
            return refuse(request, 404, "Asset not found")
        return reply({"deleted": True})

    def status_of(self, ark_asset_id: str) -> str | None:
        """`processing`, `active` or `failed`; None for an asset that nobody has."""
        asset = self._assets.get(ark_asset_id)
        if asset is None:
            return None
        if self._site.clock() < asset.created_at + self._site.options.asset_s:
            return "processing"
        return "failed" if "nsfw" in asset.source_url.lower() else "active"

    def _shown(self, asset: ArkAsset) -> Json:
        status = self.status_of(asset.ark_asset_id)
        body: Json = {
            "id": asset.id,
            "ark_asset_id": asset.ark_asset_id,
            "name": asset.name,
            "asset_type": asset.asset_type,
            "source_url": asset.source_url,
            "status": status,
        }
        if status == "active":
            ending = _ENDINGS[asset.asset_type]
            body["ark_url"] = self._files.link(f"{asset.ark_asset_id}{ending}")
        return body | {"created_at": ids.iso_ms(asset.created_at)}


def _inferred(file: str) -> str:
    extension = posixpath.splitext(file)[1].lower()
    return next((kind for kind, known in KINDS.items() if extension in known), "image")


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
