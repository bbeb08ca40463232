"""The daemon's own pages: how it is, what it spent, what it is configured to do. None ever pays."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Final, Protocol
from urllib.parse import parse_qsl

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Headers, Reply
from proxy.gate.answer import phrase
from proxy.gate.refusals import json_reply, refusal_reply

PAYMENT_STATES: Final = ("reserved", "sent", "unknown", "settled", "void", "cancelled", "expired")
PAYMENTS_DEFAULT: Final = 50
PAYMENTS_MAX: Final = 1000
"""More rows than a person reads or a script should hold at once; `next` leads on."""
CURSOR_CHARS_MAX: Final = 200
PAUSE_PATH: Final = "/-/pause"
READING: Final = ("GET", "HEAD")
METHODS: Final[Mapping[str, tuple[str, ...]]] = {PAUSE_PATH: (*READING, "POST")}
"""What may be done with a page beside reading it: anybody who may speak here may pull the brake."""
METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

Document = Mapping[str, object]


class Admin(Protocol):
    """What the daemon knows of itself, as JSON documents; the shapes are the README's."""

    def healthz(self) -> Document:
        """The process is up."""
        ...

    async def readyz(self) -> tuple[bool, Document]:
        """Whether it can serve and pay, and why not."""
        ...

    def health(self) -> Document:
        """The short health report that other payment proxies give."""
        ...

    async def metrics(self) -> bytes:
        """The metrics in Prometheus' text format."""
        ...

    async def status(self) -> Document:
        """Version, wallet address, caps, payments by state, config."""
        ...

    async def payments(self, limit: int, before: str | None, state: str | None) -> Document:
        """Payments, newest first; `next` in it is the `before` of the following page."""
        ...

    async def jobs(self) -> Document:
        """Generations that outlive their request."""
        ...

    async def portraits(self) -> Document:
        """Enrolled faces and characters."""
        ...

    def config(self) -> Document:
        """The config in force, secrets as references."""
        ...

    async def pause(self, reason: str | None) -> Document:
        """How the kill switch stands; with a reason (it may be empty), after turning it on."""
        ...


class Pages:
    """Answers for the paths that `guard.is_own_page` names."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._documents: dict[str, Callable[[], Document | Awaitable[Document]]] = {
            "/healthz": admin.healthz,
            "/health": admin.health,
            "/-/status": admin.status,
            "/-/jobs": admin.jobs,
            "/-/portraits": admin.portraits,
            "/-/config": admin.config,
        }

    async def answer(self, method: str, path: str, query: str | None, request_id: str) -> Reply:
        """Answer a request for a page; HEAD is answered as GET is, and written without its body."""
        if method not in (allowed := METHODS.get(path, READING)):
            return _not_allowed(path, allowed, request_id)
        if method == "POST":
            return json_reply(HTTPStatus.OK, await self._admin.pause(_reason(query or "")))
        if path == "/":
            return Reply(HTTPStatus.OK, phrase(HTTPStatus.OK), _PAGE_HEADERS, _PAGE)
        if path == "/metrics":
            return _metrics_reply(await self._admin.metrics())
        status, found = HTTPStatus.OK, await self._document(path, query or "")
        if path == "/readyz":
            ready, found = await self._admin.readyz()
            status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        if found is None:
            return refusal_reply(Refusal("no_route", "there is no such page here"), request_id)
        return json_reply(status, found)

    async def _document(self, path: str, query: str) -> Document | None:
        if path == "/-/payments":
            return await self._payments(query)
        if path == PAUSE_PATH:
            return await self._admin.pause(None)
        if path not in self._documents:
            return None
        found = self._documents[path]()
        return found if isinstance(found, Mapping) else await found

    async def _payments(self, query: str) -> Document:
        asked = dict(parse_qsl(query, keep_blank_values=True))
        limit = asked.pop("limit", str(PAYMENTS_DEFAULT))
        before, state = asked.pop("before", None), asked.pop("state", None)
        if asked:
            raise Refused(_bad_query("this page knows limit, before and state"))
        if not re.fullmatch("[0-9]{1,4}", limit) or not 0 < int(limit) <= PAYMENTS_MAX:
            raise Refused(_bad_query(f"limit is a number from 1 to {PAYMENTS_MAX}"))
        if state is not None and state not in PAYMENT_STATES:
            raise Refused(_bad_query(f"state is one of {', '.join(PAYMENT_STATES)}"))
        if before is not None and not 0 < len(before) <= CURSOR_CHARS_MAX:
            raise Refused(_bad_query("before is the `next` of another page"))
        return await self._admin.payments(int(limit), before, state)


def _not_allowed(path: str, allowed: tuple[str, ...], request_id: str) -> Reply:
    message = "the daemon's own pages are for GET and HEAD"
    if path == PAUSE_PATH:
        message = "POST pauses; only `farebox resume`, on this machine, pays again"
    return refusal_reply(Refusal("method_not_allowed", message, allow=allowed), request_id)


def _reason(query: str) -> str:
    asked = dict(parse_qsl(query, keep_blank_values=True))
    reason = asked.pop("reason", "")
    if asked:
        raise Refused(_bad_query("this page knows reason"))
    return reason


def _bad_query(message: str) -> Refusal:
    return Refusal("bad_request", message)


def _metrics_reply(body: bytes) -> Reply:
    headers = ((b"Content-Type", METRICS_TYPE), (b"Cache-Control", b"no-store"))
    return Reply(HTTPStatus.OK, phrase(HTTPStatus.OK), headers, body)


def _policy(page: str) -> bytes:
    """Write a Content-Security-Policy under which only what stands in the page runs."""
    sources = []
    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        text = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        sources.append(f"{kind} 'sha256-{digest}'")
    rest = "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return f"default-src 'none'; {'; '.join(sources)}; {rest}".encode()


_HTML: Final = files("proxy.gate").joinpath("page.html").read_text(encoding="utf-8")
_PAGE: Final = _HTML.encode()
_PAGE_HEADERS: Final[Headers] = (
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"Cache-Control", b"no-store"),
    (b"Content-Security-Policy", _policy(_HTML)),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
)
