"""Which part of a file a GET is answered with, by its Range and its conditions.

Source: RFC 9110, sections 13 (conditions, in the order of 13.2.2) and 14 (ranges). One range is
served; several, another unit, and what is no range at all get the whole file, as section 14.2 lets
a server choose. A Range means something for GET alone.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from proxy.core.http import Headers, get, get_all

OK: Final = 200
PARTIAL: Final = 206
NOT_MODIFIED: Final = 304
PRECONDITION_FAILED: Final = 412
UNSATISFIABLE: Final = 416
_SPEC: Final = re.compile(rb"([0-9]*)-([0-9]*)")
_DIGITS_MAX: Final = 18
"""No file is larger than what so many digits say; a longer number says the same."""
_PAST_ANY_END: Final = 10**_DIGITS_MAX


@dataclass(frozen=True, slots=True)
class Whole:
    """A file as it can be asked for.

    How many bytes, its strong ETag in its quotes, and when it was last modified (Unix seconds).
    """

    size: int
    etag: bytes
    modified_at: int

    @property
    def last_modified(self) -> bytes:
        """When it was modified, as a header says it."""
        return format_datetime(datetime.fromtimestamp(self.modified_at, UTC), usegmt=True).encode()


@dataclass(frozen=True, slots=True)
class Selection:
    """What a request gets: a status, and the bytes from `first` up to `end`, which is not in it."""

    status: int
    first: int
    end: int


def select(method: str, headers: Headers, whole: Whole) -> Selection:
    """Decide what a GET or HEAD of a file is answered with; `whole.size` is above zero."""
    if _wants_another(headers, whole):
        return Selection(PRECONDITION_FAILED, 0, 0)
    if _has_it(headers, whole):
        return Selection(NOT_MODIFIED, 0, 0)
    everything = Selection(OK, 0, whole.size)
    asked = get_all(headers, b"range")
    if method != "GET" or len(asked) != 1 or not _may_be_a_part(headers, whole):
        return everything
    return _part(asked[0], whole.size) or everything


def _wants_another(headers: Headers, whole: Whole) -> bool:
    """Whether the client wants a file that this is not, or is not any more."""
    tags = _tags(headers, b"if-match")
    if tags:
        return b"*" not in tags and whole.etag not in tags
    since = _date(get(headers, b"if-unmodified-since"))
    return since is not None and whole.modified_at > since


def _has_it(headers: Headers, whole: Whole) -> bool:
    """Whether the client has this very file already."""
    tags = [tag.removeprefix(b"W/") for tag in _tags(headers, b"if-none-match")]
    if tags:
        return b"*" in tags or whole.etag in tags
    since = _date(get(headers, b"if-modified-since"))
    return since is not None and whole.modified_at <= since


def _tags(headers: Headers, name: bytes) -> list[bytes]:
    """The tags that a condition names, as they are written."""
    return [tag.strip() for line in get_all(headers, name) for tag in line.split(b",")]


def _may_be_a_part(headers: Headers, whole: Whole) -> bool:
    """Whether the client's other parts are of this file, as far as it says (If-Range)."""
    condition = get(headers, b"if-range")
    return condition is None or condition.strip() in (whole.etag, whole.last_modified)


def _part(value: bytes, size: int) -> Selection | None:
    """Read one range; None for what is answered with the whole file."""
    unit, equals, listed = value.partition(b"=")
    specs = [spec for each in listed.split(b",") if (spec := each.strip())]
    if not equals or unit.strip().lower() != b"bytes" or len(specs) != 1:
        return None
    match = _SPEC.fullmatch(specs[0])
    if match is None or match[0] == b"-":
        return None
    if not match[1]:
        length = min(_number(match[2]), size)
        return Selection(PARTIAL, size - length, size) if length else _none(size)
    first, last = _number(match[1]), _number(match[2]) if match[2] else _PAST_ANY_END
    if last < first:
        return None
    return Selection(PARTIAL, first, min(last + 1, size)) if first < size else _none(size)


def _none(size: int) -> Selection:
    return Selection(UNSATISFIABLE, size, size)


def _number(digits: bytes) -> int:
    known = digits.lstrip(b"0")
    return _PAST_ANY_END if len(known) > _DIGITS_MAX else int(known or b"0")


def _date(value: bytes | None) -> float | None:
    """A header's date in Unix seconds; None for what is none."""
    if value is None:
        return None
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp()
    except (ValueError, OverflowError):
        return None
