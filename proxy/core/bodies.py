"""What a request's body says: the top level of one JSON object, or why nobody here can know it.

Whoever routes, prices or rewrites by a body must read in it what its provider will read. What would
have to be unpacked or searched for first, and what two readers may read in two ways, is left
unread, and is never taken for a body that says nothing: that one is empty, and is read.
"""

from dataclasses import dataclass
from typing import Any, Final

from proxy.core import strict_json
from proxy.core.http import Headers, get_all

READ_BYTES_MAX: Final = 16 * 1_048_576
"""What is read of a body. Pictures written out in it (`data:` URLs) make several MiB."""

SMALL_BYTES: Final = 1_048_576
PIECES_MAX: Final = 131_072
"""How many commas and brackets a body past `SMALL_BYTES` may hold.

It is read for the few long strings in it, and must not unfold to millions of values.
"""

DEPTH_MAX: Final = 64
"""Tools that a chat may call bring JSON schemas, which nest a dozen or two levels deep."""

_BOM: Final = b"\xef\xbb\xbf"
"""Some editors begin every file so; readers of JSON may skip it, or refuse the whole."""

_FORM: Final = b"application/x-www-form-urlencoded"
_ASCII_INSIDE: Final = (b"utf-8", b"utf8", b"us-ascii", b"iso-8859-1", b"latin1", b"windows-1252")
"""The charsets in which JSON's own characters, and the names of fields, are ASCII's."""


@dataclass(frozen=True, slots=True)
class Unread:
    """Why nobody here knows what a body says.

    `says_nothing` where it is no JSON object for any reader of JSON: it is for its provider to
    refuse.
    """

    why: str
    says_nothing: bool = False


COMPRESSED: Final = Unread("it is compressed")
TOO_LONG: Final = Unread(f"it is longer than {READ_BYTES_MAX} bytes")
MISLABELLED: Final = Unread("its Content-Type is not application/json in UTF-8")
_TOO_MANY: Final = Unread(f"it is longer than {SMALL_BYTES} bytes and holds too many values")
_NOT_UTF_8: Final = Unread("it is not in UTF-8")
"""UTF-16 and UTF-32 write zeros between the letters, and some readers of JSON know them by that."""

_NO_OBJECT: Final = Unread("it is no JSON object", says_nothing=True)


def is_compressed(headers: Headers) -> bool:
    """Whether a body's bytes are not what it says: any encoding but none."""
    codings = b",".join(get_all(headers, b"content-encoding")).lower().split(b",")
    return any(each.strip() not in (b"", b"identity") for each in codings)


def is_json(headers: Headers) -> bool:
    """Whether a body that reads as JSON here reads the same by its headers.

    A form can be written that is JSON too, and says something else. A body without a type, or of an
    unknown one, can be nothing else than what it looks like.
    """
    types = get_all(headers, b"content-type")
    if not types:
        return True
    media, *parameters = (each.strip().lower() for each in types[0].split(b";"))
    named = [each.partition(b"=")[::2] for each in parameters]
    charsets = [value.strip(b' "') for name, value in named if name.strip() == b"charset"]
    known = all(each in _ASCII_INSIDE for each in charsets)
    return len(types) == 1 and media != _FORM and known


def read_body(data: bytes) -> dict[str, Any] | Unread:
    """Read a body of at most `READ_BYTES_MAX` bytes; an empty one has no fields."""
    if not data:
        return {}
    if (
        len(data) > SMALL_BYTES
        and sum(data.count(each) for each in (b",", b"[", b"{")) > PIECES_MAX
    ):
        return _TOO_MANY
    try:
        document = strict_json.loads(data.removeprefix(_BOM), depth_max=DEPTH_MAX, halves=True)
    except strict_json.NoJson:
        return _NOT_UTF_8 if b"\0" in data else _NO_OBJECT
    except strict_json.NotStrictJson as problem:
        return Unread(f"it is no JSON with one meaning: {problem}")
    return document if isinstance(document, dict) else _NO_OBJECT
