"""PomexAI's assets: upload a picture of a verified person, wait until it is active, list."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from proxy.sandbox import ids
from proxy.sandbox.files import Files
from proxy.sandbox.pomex.words import refuse
from proxy.sandbox.site import Site
from proxy.sandbox.wire import Json, read_object, reply

KINDS: Final = ("Image", "Video", "Audio")
STATUSES: Final = frozenset({"active", "processing", "failed"})
LIMIT: Final = 10
LIMIT_MAX: Final = 100
SIGNED_S: Final = 12 * 3600
"""How long a link to an asset lives; every answer has a new one."""

_ENDINGS: Final = {"Image": ".png", "Video": ".mp4", "Audio": ".wav"}
"""What an asset is kept as, whatever it was uploaded as."""

_REJECTED = re.compile("nsfw|mismatch|noface|manyfaces", re.IGNORECASE)
"""What in a URL stands for a picture that fails the face check."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One uploaded file."""

    id: str
    name: str
    url: str
    asset_type: str
    group_id: str
    created_at: float


class Assets:
    """The asset routes, and a look-up for generations; `groups` are the organization's people."""

    def __init__(self, site: Site, groups: set[str], files: Files) -> None:
        self._site = site
        self._files = files
        self._groups = groups
        self._virtual = ids.pomex("group", site.clock())
        self._assets: dict[str, Asset] = {}

    async def upload(self, request: web.Request) -> web.Response:
        """`POST /v1/video/assets`."""
        body = await read_object(request)
        if body is None:
            return refuse(400, "body must be valid JSON")
        url, kind, name = (body.get(key) for key in ("url", "asset_type", "name"))
        if not url:
            return refuse(400, "url is required")
        if not isinstance(url, str) or urlsplit(url).scheme != "https":
            return refuse(400, "url must be a valid https URL")
        if kind not in KINDS:
            return refuse(400, "asset_type must be Image, Video, or Audio")
        group = body.get("group_id") or self._virtual
        if group != self._virtual and group not in self._groups:
            return refuse(400, "group id error")
        now = self._site.clock()
        label = name if isinstance(name, str) else ""
        asset = Asset(ids.pomex("asset", now), label, url, str(kind), str(group), now)
        self._assets[asset.id] = asset
        return reply({"id": asset.id, "object": "video.asset", "status": self._status(asset)})

    async def get(self, request: web.Request) -> web.Response:
        """`GET /v1/video/assets/{asset_id}`."""
        asset = self._assets.get(request.match_info["id"])
        if asset is None:
            return refuse(404, "Resource not found")
        shown = self._shown(asset)
        return reply({"id": shown.pop("id"), "object": "video.asset", **shown})

    async def list(self, request: web.Request) -> web.Response:
        """`GET /v1/video/assets`."""
        query = request.query
        group = query.get("group_id") or self._virtual
        if group != self._virtual and group not in self._groups:
            return refuse(400, "group id error")
        wanted = {word for word in query.get("status", "").split(",") if word}
        if not wanted <= STATUSES:
            return refuse(400, "status must be active, processing, or failed")
        page, limit = _positive(query.get("page", "1")), _positive(query.get("limit", str(LIMIT)))
        if page is None or limit is None:
            return refuse(400, "page and limit must be positive integers")
        key = self._sort_keys().get(query.get("sort_by", "create_time"))
        if key is None:
            return refuse(400, "sort_by must be create_time, update_time, or group_id")
        if query.get("sort_order", "desc") not in {"asc", "desc"}:
            return refuse(400, "sort_order must be asc or desc")
        fuzzy, size = query.get("name", "").lower(), min(limit, LIMIT_MAX)
        found = [
            asset
            for asset in self._assets.values()
            if asset.group_id == group and fuzzy in asset.name.lower()
            if not wanted or self._status(asset) in wanted
        ]
        found.sort(key=key, reverse=query.get("sort_order", "desc") == "desc")
        return reply(
            {
                "object": "list",
                "items": [self._shown(a) for a in found[(page - 1) * size : page * size]],
                "total_count": len(found),
                "page_number": page,
                "page_size": size,
            }
        )

    def status_of(self, asset_id: str) -> str | None:
        """`processing`, `active` or `failed`; None for an asset that nobody has."""
        asset = self._assets.get(asset_id)
        return None if asset is None else self._status(asset)

    def _status(self, asset: Asset) -> str:
        if self._site.clock() < asset.created_at + self._site.options.asset_s:
            return "processing"
        return "failed" if _REJECTED.search(asset.url) else "active"

    def _updated_at(self, asset: Asset) -> float:
        settled_at = asset.created_at + self._site.options.asset_s
        return settled_at if self._site.clock() >= settled_at else asset.created_at

    def _sort_keys(self) -> dict[str, Callable[[Asset], tuple[str | float, float]]]:
        return {
            "create_time": lambda asset: (asset.created_at, 0),
            "update_time": lambda asset: (self._updated_at(asset), asset.created_at),
            "group_id": lambda asset: (asset.group_id, asset.created_at),
        }

    def _shown(self, asset: Asset) -> Json:
        file, ends_at = f"{asset.id}{_ENDINGS[asset.asset_type]}", self._site.clock() + SIGNED_S
        return {
            "id": asset.id,
            "name": asset.name,
            "url": self._files.signed(file, ends_at),
            "asset_type": asset.asset_type,
            "group_id": asset.group_id,
            "status": self._status(asset),
            "created_at": ids.iso_s(asset.created_at),
            "updated_at": ids.iso_s(self._updated_at(asset)),
        }


def _positive(text: str) -> int | None:
    return int(text) if re.fullmatch("[1-9][0-9]{0,8}", text, re.ASCII) else None
