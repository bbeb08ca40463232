"""Virtual Portrait and RealFace: enrolling a face and listing what a wallet has enrolled."""

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from proxy.sandbox import ids, money
from proxy.sandbox.blockrun.books import Books, Group
from proxy.sandbox.dialect import Report
from proxy.sandbox.pace import Pace
from proxy.sandbox.site import Site
from proxy.sandbox.till import Buyer, Declined, Delivery, Goods, Till, Work
from proxy.sandbox.wire import Json, read_object, reply

ENROLL_PRICE: Final = 500_000
NAME_MAX: Final = 64
LINK_S: Final = 120
LISTINGS_AN_HOUR: Final = 20
COMPATIBLE: Final = ("bytedance/seedance-2.0", "bytedance/seedance-2.0-fast")

_WALLET = re.compile(r"0x[0-9a-fA-F]{40}|[1-9A-HJ-NP-Za-km-z]{32,44}", re.ASCII)
_HTTP = ("https://", "http://")


@dataclass(frozen=True, slots=True)
class Application:
    """A request to enrol a face, found valid."""

    name: str
    image_url: str
    group_id: str | None = None


class Portraits:
    """The portrait, RealFace and wallet routes."""

    def __init__(self, site: Site, till: Till, books: Books) -> None:
        self._site = site
        self._till = till
        self._books = books
        # One bucket for both listings, as the documents say.
        self._pace = Pace(LISTINGS_AN_HOUR, 3600, site.clock)

    async def enroll(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/portrait/enroll`."""
        application = _application(await read_object(request))
        if isinstance(application, str):
            return reply({"error": application}, 400)
        sale = self._till.open(request, ENROLL_PRICE, "Virtual portrait enrollment")
        return await self._till.sell(sale, self._work(application), absorbs=True)

    async def enroll_face(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/realface/enroll`."""
        body = await read_object(request)
        application = _application(body)
        if isinstance(application, str) or body is None:
            return reply({"error": application}, 400)
        group_id = body.get("group_id")
        if not isinstance(group_id, str):
            return reply({"error": "Invalid request body"}, 400)
        application = Application(application.name, application.image_url, group_id)
        sale = self._till.open(request, ENROLL_PRICE, "RealFace enrollment")
        return await self._till.sell(sale, self._work(application), absorbs=True)

    async def init_face(self, request: web.Request) -> web.Response:
        """`POST /v1/realface/init`."""
        body = await read_object(request) or {}
        name, known = body.get("name"), body.get("groupId")
        if not _is_name(name):
            return reply({"error": "Invalid request body"}, 400)
        if known is not None and known not in self._books.groups:
            return reply({"error": "Group not found"}, 404)
        group_id = str(known or ids.blockrun_group())
        group = Group(group_id, str(name), ids.letters(32), self._site.clock())
        self._books.groups[group_id] = group
        return reply(
            {
                "object": "realface.init",
                "group_id": group_id,
                "h5_link": f"{self._site.origin}/h5/{group.token}",
                "status": "pending_validation",
                "expires_in_seconds": LINK_S,
            }
        )

    async def scan(self, request: web.Request) -> web.Response:
        """`GET /h5/{token}`: opening the link is the scan; with `?scan=failed` it fails."""
        token = request.match_info["token"]
        group = next((g for g in self._books.groups.values() if g.token == token), None)
        if group is None:
            return reply({"error": "Link not found"}, 404)
        if self._site.clock() > group.opened_at + LINK_S:
            return reply({"error": "Link expired"}, 410)
        if request.query.get("scan") == "failed":
            return web.Response(text="The scan failed. Open the link again.\n")
        group.verified = True
        return web.Response(text="Verified. You can close this page.\n")

    async def face_status(self, request: web.Request) -> web.Response:
        """`GET /v1/realface/status?groupId=…`."""
        group = self._books.groups.get(request.query.get("groupId", ""))
        if group is None:
            return reply({"error": "Group not found"}, 404)
        status = "active" if group.verified else "pending_validation"
        return reply({"status": status, "ready_to_finalize": group.verified})

    async def list_portraits(self, request: web.Request) -> web.Response:
        """`GET /v1/wallet/{address}/portraits`."""
        return self._listing(request, "portraits", self._books.portraits)

    async def list_faces(self, request: web.Request) -> web.Response:
        """`GET /v1/wallet/{address}/realfaces`."""
        return self._listing(request, "realfaces", self._books.realfaces)

    def _listing(
        self, request: web.Request, noun: str, shelf: dict[str, list[Json]]
    ) -> web.Response:
        wait_s = self._pace.wait_s(request.remote or "")
        if wait_s:
            return reply({"error": "Rate limit exceeded"}, 429, {"Retry-After": str(wait_s)})
        wallet = request.match_info["address"]
        if not _WALLET.fullmatch(wallet):
            return reply({"error": "Invalid wallet address"}, 400)
        items = shelf.get(wallet.lower(), [])
        return reply({"wallet": wallet, noun: items, "count": len(items)})

    def _work(self, application: Application) -> Work:
        async def work(buyer: Buyer) -> Delivery:
            if application.group_id is not None:
                self._check_face(application, application.group_id)
            if "nsfw" in application.image_url.lower():
                raise Declined(502, "Token360 rejected the image: content filter")
            return self._enrolled(application, buyer)

        return work

    def _check_face(self, application: Application, group_id: str) -> None:
        group = self._books.groups.get(group_id)
        if group is None or not group.verified:
            raise Declined(425, "The person has not completed verification yet")
        if "mismatch" in application.image_url.lower():
            raise Declined(422, "The face in the image does not match the verified person")

    def _enrolled(self, application: Application, buyer: Buyer) -> Delivery:
        is_real = application.group_id is not None
        asset_id, created_at = ids.blockrun_asset(), ids.iso_ms(self._site.clock())
        group_id = application.group_id or ids.blockrun_group()
        shelf = self._books.realfaces if is_real else self._books.portraits

        def keep(tx: str) -> None:
            shelf[buyer.address.lower()].append(
                {
                    "assetId": asset_id,
                    "groupId": group_id,
                    "name": application.name,
                    "imageUrl": application.image_url,
                    "createdAt": created_at,
                    "enrollmentTxHash": tx,
                }
            )

        def goods(report: Report | None) -> Goods:
            price = money.dollars(int(buyer.amount))
            body: Json = {
                "object": "realface" if is_real else "virtual_portrait",
                "asset_id": asset_id,
                "group_id": group_id,
                "name": application.name,
                "image_url": application.image_url,
                "created_at": created_at,
                "usage": {
                    "compatible_models": list(COMPATIBLE),
                    "how_to_use": f'Pass "real_face_asset_id": "{asset_id}"'
                    " on a Seedance video generation request.",
                },
                "price": {"amount": price, "currency": "USD"},
            }
            return Goods.of(body if report is None else body | {"settlement": report.settlement()})

        return Delivery(keep, goods)


def _application(body: Json | None) -> Application | str:
    """Read what both enrolments need, or the documented error."""
    body = body or {}
    name, image_url = body.get("name"), body.get("image_url")
    if not _is_name(name) or not isinstance(image_url, str) or not image_url:
        return "Invalid request body"
    if not image_url.lower().startswith(_HTTP):
        return "image_url must be an http(s) URL"
    if image_url.lower() in _HTTP:
        return "Invalid request body"
    return Application(str(name), image_url)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 1 <= len(name) <= NAME_MAX
