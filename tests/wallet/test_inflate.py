"""Unpacking within bounds."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.inflate import inflate

PACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
}
BOMB = gzip.compress(bytes(80_000_000))


@pytest.mark.parametrize("encoding", PACKERS)
@given(body=st.binary(max_size=2000))
def test_round_trip(encoding: bytes, body: bytes) -> None:
    """What was packed comes out, at a limit of just its size, and not at one less."""
    packed = PACKERS[encoding](body)
    assert inflate(packed, encoding, len(body)) == body
    assert inflate(packed, encoding, len(body) + 1) == body
    if body:
        assert inflate(packed, encoding, len(body) - 1) is None


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("size", [65_536, 1_048_576])
@pytest.mark.parametrize("fill", [b"\0", b"ab"])
def test_just_the_limit(encoding: bytes, size: int, fill: bytes) -> None:
    """A whole buffer full is whole: its checksum is still read."""
    body = (fill * size)[:size]
    assert inflate(PACKERS[encoding](body), encoding, size) == body
    assert inflate(PACKERS[encoding](body + b"x"), encoding, size) is None


@pytest.mark.parametrize("limit", [0, 1, 1_048_576])
def test_bomb(limit: int) -> None:
    """Eighty kilobytes that unpack to eighty megabytes cost no more than the limit."""
    assert len(BOMB) < 100_000
    tracemalloc.start()
    assert inflate(BOMB, b"gzip", limit) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


def test_nothing_at_all() -> None:
    """What unpacks to nothing fits under a limit of nothing."""
    assert inflate(gzip.compress(b""), b"gzip", 0) == b""


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"", b"GZIP", b"gzip, gzip", b"compress"])
def test_unknown_encoding(encoding: bytes) -> None:
    """What we cannot undo is not guessed at."""
    assert inflate(b"x", encoding, 100) is None


def test_identity() -> None:
    """No encoding is none."""
    assert inflate(b"\x1f\x8b", b"identity", 100) == b"\x1f\x8b"


GOOD = gzip.compress(b"body")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"x", GOOD[:-1], GOOD[:10], GOOD + b"x", GOOD + GOOD, GOOD[:-5] + b"\xff" + GOOD[-4:],
        zlib.compress(b"body"), b"body",
    ],
)  # fmt: skip
def test_broken(body: bytes) -> None:
    """Cut off, corrupted, of another kind, with something behind it: nothing comes out."""
    assert inflate(body, b"gzip", 100) is None
