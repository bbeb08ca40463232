"""Links in a JSON answer: the few fields that tell a client where to go next, changed in place.

Only the values that change are written anew; every other byte stays as the provider sent it,
spacing, order and escapes included.
"""

import json
from collections.abc import Callable, Iterator
from json.decoder import JSONDecodeError
from typing import Any, Final

FIELDS: Final = frozenset({"status_url", "response_url", "poll_url", "cancel_url"})
ANSWER_BYTES_MAX: Final = 1_048_576
_SPACE: Final = " \t\n\r"
_DECODER: Final = json.JSONDecoder()


def rewrite_links(body: bytes, rewrite: Callable[[str], str | None]) -> bytes:
    """Give the top-level link fields of a JSON object to `rewrite`.

    None from it, or a body that is no object, changes nothing.
    """
    try:
        text = body.decode()
        spans = [(start, end, value) for key, value, start, end in _members(text) if key in FIELDS]
    except (ValueError, StopIteration, IndexError, RecursionError):
        return body  # not JSON, or JSON that Python will not read, such as a number of 5000 digits
    for start, end, value in reversed(spans):
        link = rewrite(value) if isinstance(value, str) else None
        if link is not None:
            text = text[:start] + _string(link) + text[end:]
    return text.encode()


def _string(link: str) -> str:
    """Write a JSON string, in ASCII where half a surrogate pair in it leaves no other way."""
    written = json.dumps(link, ensure_ascii=False)
    try:
        written.encode()
    except UnicodeEncodeError:
        return json.dumps(link)
    return written


def _members(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """Walk a JSON object's members: key, value, and where the value's text begins and ends."""
    at = _skip(text, 0)
    if text[at] != "{":
        return
    at = _skip(text, at + 1)
    more = text[at] != "}"
    while more:
        key, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if not isinstance(key, str) or text[at] != ":":
            raise JSONDecodeError("expected a member", text, at)
        start = _skip(text, at + 1)
        value, end = _DECODER.raw_decode(text, start)
        yield key, value, start, end
        at = _skip(text, end)
        more = text[at] == ","
        if more:
            at = _skip(text, at + 1)
    if text[at] != "}":
        raise JSONDecodeError("expected the end of the object", text, at)


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at
