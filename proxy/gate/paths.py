"""Which request paths may pass: those that mean one thing, however often somebody decodes them.

The path goes to a provider as the client wrote it, and routes, prices and caps are chosen by it.
So a path whose meaning changes under decoding, or that has a second spelling, is refused rather
than mended (RFC 3986 sections 3.3 and 6.2.2).
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

LAYERS_MAX: Final = 4
"""How many layers of percent-encoding a path may have; each costs a pass over the path."""

_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_-]+)+/?")
"""What most paths look like; there is nothing to ask about them."""
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NEEDLESS: Final = re.compile(r"%(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|2[DdEe]|5[Ff])")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_ENCODED_SLASH: Final = re.compile(rb"%(?:2f|5c)", re.IGNORECASE)


def path_problem(path: str) -> str | None:
    """Say what is wrong with a raw path, or None: it is safe at every layer of decoding."""
    return None if _PLAIN.fullmatch(path) else _problem(path)


def _problem(path: str) -> str | None:
    if not path.startswith("/"):
        return "the request target must be a path that begins with /"
    if not path.isascii():
        return "the path has bytes that must be percent-encoded"
    if _BAD_PERCENT.search(path):
        return "the path has an invalid percent sequence"
    if problem := _layers_problem(path.encode("ascii")):
        return problem
    if _NEEDLESS.search(path):
        # /v1/%76ideos is /v1/videos to a provider, but another path to our routes and their caps.
        return "the path has percent-encoded letters, digits or -._; write them as they are"
    return None


def _layers_problem(text: bytes) -> str | None:
    for _ in range(LAYERS_MAX):
        if problem := _text_problem(text):
            return problem
        decoded = unquote_to_bytes(text)
        if decoded == text:
            return None
        text = decoded
    return "the path is percent-encoded over and over"


def _text_problem(text: bytes) -> str | None:
    if _CONTROL.search(text):
        return "the path has control characters"
    if b"\\" in text or _ENCODED_SLASH.search(text):
        return "the path has a backslash or an encoded slash"
    if b"//" in text:
        return "the path has an empty segment"
    if any(_is_dots(segment) for segment in text.split(b"/")):
        return "the path has a . or .. segment"
    try:
        text.decode(
            "utf-8"
        )  # an overlong sequence is how a dot or a slash hides from a strict decoder
    except UnicodeDecodeError:
        return "the path is not UTF-8"
    return None


def _is_dots(segment: bytes) -> bool:
    """Whether a segment climbs or stays: `..`, and `..;x` and `.. `, which some servers trim."""
    return segment.partition(b";")[0].strip(b" ") in (b".", b"..")
