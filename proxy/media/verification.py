"""A real person's verification in the common shape: what a client asks for, and what it is told."""

import asyncio
from functools import lru_cache
from io import BytesIO
from typing import Final

import segno

from proxy.core.errors import Refusal
from proxy.core.http import Reply
from proxy.media.enrolment import NAME_CHARS_MAX, is_text, name_refusal
from proxy.providers.lore import JsonObject, Verification
from proxy.providers.people import LINK_CHARS_MAX
from proxy.replies import json_reply
from proxy.store.sessions import Session, presentable

_FIELDS: Final = ("name", "callback_url", "lang")
_LANG_CHARS_MAX: Final = 35
"""RFC 5646 calls this enough for a language tag."""

_CODES_KEPT: Final = 64
"""Who waits for a person asks for the same code again and again."""

_MODULE: Final = 4
_QUIET: Final = 4
"""A module in pixels, and the margin in modules that the standard wants."""


def read_verification(fields: JsonObject) -> Verification | Refusal:
    """Read a body; a field that nobody would see is refused by its name."""
    unknown = next((key for key in fields if key not in _FIELDS), None)
    if unknown is not None:
        known = ", ".join(_FIELDS)
        message = f"{unknown[:NAME_CHARS_MAX]!a} cannot be passed on: known are {known}"
        return Refusal("field_not_supported", message)
    if (refusal := name_refusal(fields.get("name"))) is not None:
        return refusal
    callback_url, lang = fields.get("callback_url"), fields.get("lang")
    if not _is_short(callback_url, LINK_CHARS_MAX):
        return Refusal("bad_request", "callback_url is the URL of your page that the phone ends at")
    if not _is_short(lang, _LANG_CHARS_MAX):
        return Refusal("bad_request", "lang is the language of the provider's page, such as en")
    return Verification(str(fields["name"]), callback_url, lang)


async def session_reply(session: Session, now: int, response: JsonObject | None = None) -> Reply:
    """A session as its client sees it; `response` is what its provider said just now."""
    drawn = await asyncio.to_thread(qr_svg, session.h5_link)  # a long link takes a while
    said = {} if response is None else {"provider_response": presentable(response)}
    return json_reply(200, session.shown(now) | {"qr_svg": drawn} | said)


@lru_cache(maxsize=_CODES_KEPT)
def qr_svg(link: str) -> str:
    """A link as a QR code: one `<svg>` that stands in a page, or in a file of its own."""
    drawn = BytesIO()
    code = segno.make_qr(link, error="m")
    code.save(
        drawn,
        kind="svg",
        scale=_MODULE,
        border=_QUIET,
        dark="#000",
        light="#fff",
        xmldecl=False,
        nl=False,
        svgclass=None,
        lineclass=None,
    )
    return drawn.getvalue().decode()


def _is_short(value: object, chars_max: int) -> bool:
    return value is None or (is_text(value) and len(str(value)) <= chars_max)
