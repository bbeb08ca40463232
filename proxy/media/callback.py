"""Where a phone ends after the scan: the provider's result, brought by a stranger's browser.

Anybody may knock here. Whoever does not know the state in the path, a secret that the provider
alone was told, learns nothing and changes nothing; unknown, used and expired ones look alike. This
only ever records: nobody is called, nothing is paid, and nothing of the query is shown but a code
that was made harmless. A query without a result (a preview of the link, somebody curious) uses
nothing up. What is recorded is on the disk before the phone hears of it.
"""

import asyncio
import base64
import html
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import structlog

from proxy.core.http import Headers, Reply
from proxy.media.sessions import state_digest
from proxy.providers.people import Verdict, verdict
from proxy.shield import Shield
from proxy.store import Ledger, LedgerUnavailableError, sessions
from proxy.store.sessions import VERIFIED, Session

RETRY_S: Final = 5
_STATE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
"""32 bytes in base64 for URLs."""

_STYLE: Final = (
    "body{font:1.15rem/1.5 system-ui,sans-serif;max-width:28rem;margin:20vh auto;padding:0 1.5rem}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}"
)
_STYLE_SHA256: Final = base64.b64encode(sha256(_STYLE.encode()).digest())
_HEADERS: Final[Headers] = (
    (b"Content-Type", b"text/html; charset=utf-8"),
    (
        b"Content-Security-Policy",
        b"default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none';"
        b" frame-ancestors 'none'" % _STYLE_SHA256,
    ),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cache-Control", b"no-store"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
)
_log = structlog.get_logger()


class Callback:
    """Records results; `heard` is told which session has one."""

    def __init__(self, ledger: Ledger, shield: Shield, heard: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._shield = shield
        self._heard = heard

    async def __call__(self, state: str, query: str | None) -> Reply:
        """Answer somebody's phone."""
        found = verdict(query)
        if found is None:
            text = "This page is where a scan ends. There is no result in its address yet."
            return _page(400, "Nothing to see", text, b"bad_request")
        if not _STATE.fullmatch(state):
            return _unknown()
        try:
            session = await self._shield.finish(self._record(state, found), _nobody_waits)
        except LedgerUnavailableError as problem:
            _log.error("callback_not_recorded", problem=str(problem))
            return _not_recorded()
        return _unknown() if session is None else _told(session, found)

    async def _record(self, state: str, found: Verdict) -> Session | None:
        """Write a result down, and wake who waits for it, though the phone has gone."""
        digest, now = state_digest(state), self._ledger.now()
        session = await self._ledger.ask(
            lambda db: sessions.conclude(db, digest, found.group_id, found.reason, now)
        )
        if session is not None:
            self._heard(session.id)
        return session


def _told(session: Session, found: Verdict) -> Reply:
    if found.group_id is not None:
        reply = _page(200, "Done", "You have been verified. You can close this page.")
    else:
        text = f"You have not been verified: {found.reason}. Ask for a new link to try again."
        reply = _page(200, "Not verified", text)
    reply.story.update(session=session.id, verified=session.status == VERIFIED)
    return reply


def _unknown() -> Reply:
    text = (
        "This link has been used, or it has expired. If you have just finished the scan, there is"
        " nothing left to do; otherwise ask for a new link."
    )
    return _page(404, "Not valid any more", text, b"portrait_unknown")


def _not_recorded() -> Reply:
    text = "The result could not be written down. Please load this page again in a moment."
    reply = _page(503, "One moment", text, b"ledger_unavailable")
    reply.headers = (*reply.headers, (b"Retry-After", b"%d" % RETRY_S))
    return reply


def _page(status: int, title: str, text: str, code: bytes | None = None) -> Reply:
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p></html>\n"
    ).encode()
    length = (b"Content-Length", b"%d" % len(body))
    refused = () if code is None else ((b"Farebox-Error", code),)
    return Reply(status, "", (*_HEADERS, length, *refused), body)


def _nobody_waits(_task: asyncio.Future[Session | None]) -> None:
    """The phone has gone; the result is written down nevertheless."""
