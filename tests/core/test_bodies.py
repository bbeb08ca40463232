"""What a body says: one JSON object, or nobody knows."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.bodies import (
    DEPTH_MAX,
    PIECES_MAX,
    SMALL_BYTES,
    Unread,
    is_compressed,
    is_json,
    read_body,
)

CLIP = {"model": "byteplus/seedance-2.0", "prompt": "a \U0001f4e6"}
TYPE = b"Content-Type"


def nested(levels: int) -> bytes:
    """An object that many levels deep."""
    return b'{"x":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize("body", [b"", b"{}", b" \n{} ", b"\xef\xbb\xbf{}"])
def test_nothing_said(body: bytes) -> None:
    """An empty body says nothing, and so does an empty object."""
    assert read_body(body) == {}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@given(fields=st.dictionaries(st.text(), st.none() | st.integers() | st.text()))
def test_fields(mark: bytes, fields: dict[str, Any]) -> None:
    """An object is read as it was written; the mark that editors put before it is skipped."""
    assert read_body(mark + json.dumps(fields).encode()) == fields


UNREAD = [
    (gzip.compress(b"{}"), False),
    (json.dumps(CLIP).encode("utf-16"), False),
    (json.dumps(CLIP).encode("utf-16-le"), False),
    (json.dumps(CLIP).encode("utf-32-be"), False),
    (json.dumps(CLIP).encode() + b"{}", False),
    (b'{"model": "a", "model": "b"}', False),
    (b'{"x": {"y": 1, "y": 1}}', False),
    (b'{"seed": ' + b"1" * 5000 + b"}", False),
    (b'{"x": 1e999}', False),
    (nested(DEPTH_MAX + 1), False),
    (nested(100_000), False),
    (b"{", True),
    (b"name=rachel", True),
    (b"[]", True),
    (b'"x"', True),
    (b"null", True),
]


@pytest.mark.parametrize(("body", "says_nothing"), UNREAD)
def test_unread(body: bytes, *, says_nothing: bool) -> None:
    """What two may read in two ways is told apart from what is an object to nobody."""
    found = read_body(body)
    assert isinstance(found, Unread)
    assert found.says_nothing == says_nothing
    assert found.why.isascii()


def test_deep() -> None:
    """A schema of tools is read, however it nests."""
    assert isinstance(read_body(nested(DEPTH_MAX)), dict)


@pytest.mark.parametrize("piece", ["0", "[]", "{}", '","'])
def test_many_values(piece: str) -> None:
    """A small body may hold what fits; a large one must not unfold to millions of values."""
    small = b'{"x": [' + b",".join([piece.encode()] * (PIECES_MAX + 1)) + b"]}"
    assert len(small) <= SMALL_BYTES
    assert isinstance(read_body(small), dict)
    large = small[:-1] + b', "y": "%s"}' % (b"y" * SMALL_BYTES)
    assert isinstance(read_body(large), Unread)


def test_long_string() -> None:
    """A picture is one value, however long it is."""
    fields = CLIP | {"image_url": "data:image/png;base64," + "A" * (2 * SMALL_BYTES)}
    assert read_body(json.dumps(fields).encode()) == fields


@pytest.mark.parametrize(
    ("values", "compressed"),
    [((), False), (("",), False), (("identity",), False), ((" Identity ,",), False),
     (("gzip",), True), (("GZIP",), True), (("identity, br",), True), (("identity", "zstd"), True),
     (("who-knows",), True)],
)  # fmt: skip
def test_compressed(values: tuple[str, ...], *, compressed: bool) -> None:
    """Any encoding that is one, wherever it is named."""
    headers = tuple((b"content-Encoding", value.encode()) for value in values)
    assert is_compressed(headers) == compressed


TYPES = [
    ((), True),
    (("application/json",), True),
    (("application/json; charset=utf-8",), True),
    (('Application/JSON; charset="UTF-8"',), True),
    (("application/json;charset=ISO-8859-1",), True),
    (("application/vnd.api+json; x=y",), True),
    (("text/plain",), True),
    (("application/octet-stream",), True),
    (("application/json; charset=utf-7",), False),
    (("application/json; Charset = utf-16",), False),
    (("application/json; charset=ibm037",), False),
    (("application/x-www-form-urlencoded",), False),
    (("APPLICATION/X-WWW-FORM-URLENCODED; charset=utf-8",), False),
    (("application/json", "application/json"), False),
]


@pytest.mark.parametrize(("values", "json_"), TYPES)
def test_types(values: tuple[str, ...], *, json_: bool) -> None:
    """A type by which the same bytes say something else makes them unknown."""
    assert is_json(tuple((TYPE, value.encode()) for value in values)) == json_
