"""Ranges and conditions, by RFC 9110's sections 13 and 14."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.http import Headers
from proxy.core.ranges import Selection, Whole, select

SIZE = 1000
AT = 1_700_000_000
WHOLE = Whole(SIZE, b'"abc"', AT)
ALL = Selection(200, 0, SIZE)
NONE = Selection(416, SIZE, SIZE)
SAME = Selection(304, 0, 0)
OTHER = Selection(412, 0, 0)
DATE = WHOLE.last_modified


def date(seconds: int) -> bytes:
    """A header's date, so many seconds after the file's own."""
    return format_datetime(datetime.fromtimestamp(AT + seconds, UTC), usegmt=True).encode()


RANGES: dict[bytes, Selection] = {
    b"bytes=0-0": Selection(206, 0, 1),
    b"bytes=0-499": Selection(206, 0, 500),
    b"bytes=500-999": Selection(206, 500, 1000),
    b"bytes=999-": Selection(206, 999, 1000),
    b"bytes=0-": Selection(206, 0, 1000),
    b"bytes=-500": Selection(206, 500, 1000),
    b"bytes=-1": Selection(206, 999, 1000),
    b"bytes=-1000": Selection(206, 0, 1000),
    b"bytes=-2000": Selection(206, 0, 1000),
    b"bytes=0-1000": Selection(206, 0, 1000),
    b"bytes=0-99999999999999999999999": Selection(206, 0, 1000),
    b"bytes=" + b"0" * 5000 + b"7-7": Selection(206, 7, 8),
    b"Bytes=0-1": Selection(206, 0, 2),
    b" bytes = 0-1 , ": Selection(206, 0, 2),
    b"bytes=,,5-6,": Selection(206, 5, 7),
    b"bytes=1000-": NONE,
    b"bytes=1000-1001": NONE,
    b"bytes=" + b"9" * 5000 + b"-": NONE,
    b"bytes=-0": NONE,
    b"bytes=1-0": ALL,
    b"bytes=-": ALL,
    b"bytes=": ALL,
    b"bytes=,": ALL,
    b"bytes": ALL,
    b"": ALL,
    b"bytes=0-1,3-4": ALL,
    b"bytes=0-1,9999-": ALL,
    b"bytes=a-b": ALL,
    b"bytes=+1-2": ALL,
    b"bytes=1-2-3": ALL,
    b"bytes=1 - 2": ALL,
    b"bytes=0x1-0x2": ALL,
    "bytes=٣-٤".encode(): ALL,
    b"items=0-1": ALL,
}


@pytest.mark.parametrize(("value", "selection"), RANGES.items(), ids=[*map(repr, RANGES)])
def test_range(value: bytes, selection: Selection) -> None:
    """One range of bytes that makes sense is served, one past the end is not; all else is whole."""
    assert select("GET", ((b"Range", value),), WHOLE) == selection


CONDITIONS: dict[str, tuple[Headers, Selection]] = {
    "its ETag": (((b"If-None-Match", b'"abc"'),), SAME),
    "its ETag, weakly": (((b"If-None-Match", b'"x", W/"abc"'),), SAME),
    "any": (((b"If-None-Match", b"*"),), SAME),
    "its ETag in a second line": (
        ((b"If-None-Match", b'"x"'), (b"if-none-match", b'"abc"')),
        SAME,
    ),
    "another ETag": (((b"If-None-Match", b'"x"'),), ALL),
    "another ETag, and its date": (
        ((b"If-None-Match", b'"x"'), (b"If-Modified-Since", DATE)),
        ALL,
    ),
    "its date": (((b"If-Modified-Since", DATE),), SAME),
    "a later date": (((b"If-Modified-Since", date(1)),), SAME),
    "an earlier date": (((b"If-Modified-Since", date(-1)),), ALL),
    "no date": (((b"If-Modified-Since", b"yesterday"),), ALL),
    "a date that is none": (
        ((b"If-Modified-Since", b"Fri, 99 Nov 9999999 22:13:20 GMT"),),
        ALL,
    ),
    "no number": (((b"If-Modified-Since", b"\xff" * 100),), ALL),
    "if it is that one": (((b"If-Match", b'"abc"'),), ALL),
    "if it is one of those": (((b"If-Match", b'"x"'), (b"if-match", b'"y", "abc"')), ALL),
    "if it is any": (((b"If-Match", b"*"),), ALL),
    "if it is another": (((b"If-Match", b'"x"'),), OTHER),
    "if it is that one, weakly": (((b"If-Match", b'W/"abc"'),), OTHER),
    "if it is nothing": (((b"If-Match", b""),), OTHER),
    "if it is another, and it has it": (
        ((b"If-None-Match", b'"abc"'), (b"If-Match", b'"x"')),
        OTHER,
    ),
    "if it is that one, and it has it": (
        ((b"If-None-Match", b'"abc"'), (b"If-Match", b'"abc"')),
        SAME,
    ),
    "if it is as old": (((b"If-Unmodified-Since", DATE),), ALL),
    "if it is older": (((b"If-Unmodified-Since", date(-1)),), OTHER),
    "if it is from no date": (((b"If-Unmodified-Since", b"yesterday"),), ALL),
    "if it is that one, and older": (
        ((b"If-Match", b'"abc"'), (b"If-Unmodified-Since", date(-1))),
        ALL,
    ),
}


@pytest.mark.parametrize(("headers", "selection"), CONDITIONS.values(), ids=CONDITIONS)
def test_condition(headers: Headers, selection: Selection) -> None:
    """Who has the file already, or wants another, is told so; an ETag is heard before a date."""
    assert select("GET", headers, WHOLE) == selection
    assert select("HEAD", headers, WHOLE) == selection
    ranged = (*headers, (b"Range", b"bytes=5-6"))
    assert select("GET", ranged, WHOLE) == (
        selection if selection in (SAME, OTHER) else Selection(206, 5, 7)
    )


@pytest.mark.parametrize(
    ("condition", "is_part"),
    [
        (b'"abc"', True),
        (b' "abc" ', True),
        (DATE, True),
        (b'W/"abc"', False),
        (b'"x"', False),
        (b"abc", False),
        (date(1), False),
        (date(-1), False),
        (b"", False),
    ],
)
def test_if_range(condition: bytes, is_part: bool) -> None:  # noqa: FBT001 - a table's column
    """A part is given only to who has the other parts of this very file."""
    headers = ((b"Range", b"bytes=5-6"), (b"If-Range", condition))
    assert select("GET", headers, WHOLE) == (Selection(206, 5, 7) if is_part else ALL)


def test_range_where_it_means_nothing() -> None:
    """To a HEAD, and twice in one head, a range is none."""
    ranged = (b"Range", b"bytes=5-6")
    assert select("HEAD", (ranged,), WHOLE) == ALL
    assert select("GET", (ranged, ranged), WHOLE) == ALL


@given(
    size=st.integers(1, 40),
    first=st.one_of(st.none(), st.integers(0, 50)),
    last=st.one_of(st.none(), st.integers(0, 50)),
)
@example(size=1, first=None, last=1)
def test_every_range_is_what_a_list_would_give(
    size: int, first: int | None, last: int | None
) -> None:
    """The bytes are those that are there of the ones that were asked for."""
    there = range(size)
    value = f"bytes={'' if first is None else first}-{'' if last is None else last}".encode()
    found = select("GET", ((b"Range", value),), Whole(size, b'"x"', AT))
    if first is None and last is not None:
        wanted = list(there)[max(0, size - last) :]
    elif first is None or (last is not None and last < first):
        assert found == Selection(200, 0, size)
        return
    else:
        wanted = [n for n in there if n >= first and (last is None or n <= last)]
    assert found.status == (206 if wanted else 416)
    assert list(there[found.first : found.end]) == wanted


@given(
    size=st.integers(1, 10**15),
    method=st.sampled_from(["GET", "HEAD"]),
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    b"Range",
                    b"If-Range",
                    b"If-Match",
                    b"If-None-Match",
                    b"If-Modified-Since",
                    b"If-Unmodified-Since",
                ]
            ),
            st.one_of(
                st.binary(max_size=40),
                st.from_regex(rb"bytes=[0-9, -]{0,30}", fullmatch=True),
                st.just(DATE),
            ),
        ),
        max_size=4,
    ),
)
def test_whatever_is_asked(size: int, method: str, headers: list[tuple[bytes, bytes]]) -> None:
    """There is an answer, and it never reaches beyond the file."""
    found = select(method, tuple(headers), Whole(size, b'"x"', AT))
    assert found.status in {200, 206, 304, 412, 416}
    assert 0 <= found.first <= found.end <= size
    assert (found.end > found.first) is (found.status in {200, 206})
