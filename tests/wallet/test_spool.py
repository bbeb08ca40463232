"""A body that is kept: in memory while it is small, nameless on disk when it is not."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.core.errors import Refused
from proxy.spool import MEMORY_BYTES_MAX, Spool
from tests.core.bodies import Bytes

NO_LIMIT = 1 << 30


async def whole(spool: Spool) -> bytes:
    """All of it, read from the beginning."""
    return b"".join([chunk async for chunk in spool.chunks()])


def left_in(directory: Path) -> list[Path]:
    """What is to be seen in a directory."""
    return list(directory.iterdir())


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool in an empty directory."""
    return Spool(tmp_path)


@pytest.mark.parametrize(
    ("sizes", "on_disk"),
    [
        ((), False), ((0,), False), ((1,), False), ((MEMORY_BYTES_MAX,), False),
        ((MEMORY_BYTES_MAX - 1, 1), False), ((MEMORY_BYTES_MAX + 1,), True), ((MEMORY_BYTES_MAX,
        1), True),
        ((MEMORY_BYTES_MAX, 1, 0, 5), True), ((700_000,) * 5, True), ((3_000_000, 1, 3_000_000),
        True),
    ],
)  # fmt: skip
async def test_any_size(
    spool: Spool, tmp_path: Path, sizes: tuple[int, ...], *, on_disk: bool
) -> None:
    """Whatever its size it reads twice as it came, and leaves nothing in the directory."""
    chunks = [os.urandom(size) for size in sizes]
    body = b"".join(chunks)
    with spool:
        await spool.fill(Bytes(*chunks), NO_LIMIT)
        assert (spool.length, spool.sha256) == (len(body), hashlib.sha256(body).digest())
        assert (spool._file is not None) == on_disk
        assert await spool.whole(len(body)) == body
        assert await spool.whole(len(body) - 1) is None
        assert await whole(spool) == body
        assert await whole(spool) == body
        assert left_in(tmp_path) == []
    assert left_in(tmp_path) == []


async def test_readers_at_once(spool: Spool) -> None:
    """Several read beside one another, each from the beginning, at its own pace."""
    body = os.urandom(2_500_000)
    with spool:
        await spool.fill(Bytes(body), NO_LIMIT)
        begun = spool.chunks()
        first = await anext(begun)
        others = await asyncio.gather(*(whole(spool) for _ in range(5)))
        assert set(others) == {body}
        assert first + b"".join([chunk async for chunk in begun]) == body


@pytest.mark.parametrize("limit", [0, 1000, MEMORY_BYTES_MAX, 2_000_000])
async def test_limit(tmp_path: Path, limit: int) -> None:
    """Exactly the limit is kept; a byte more is refused, and says that nothing was paid."""
    with Spool(tmp_path) as spool:
        await spool.fill(Bytes(bytes(limit)), limit)
        assert spool.length == limit
    with Spool(tmp_path) as spool, pytest.raises(Refused, match="nothing was paid") as caught:
        await spool.fill(Bytes(bytes(limit), b"x"), limit)
    assert (caught.value.refusal.code, caught.value.refusal.status) == ("body_too_large", 413)
    assert left_in(tmp_path) == []


async def test_declared_too_large(spool: Spool) -> None:
    """A length that is past the limit is refused before anything is read."""
    body = Bytes(b"x", says=1001)
    with spool, pytest.raises(Refused, match="1000 bytes"):
        await spool.fill(body, 1000)
    assert body.read == 0


async def test_endless(spool: Spool) -> None:
    """A body without an end is read no further than the limit."""
    body = Bytes(*[bytes(100)] * 10_000)
    with spool, pytest.raises(Refused):
        await spool.fill(body, 1000)
    assert body.read == 11


async def test_lie_about_the_length(spool: Spool) -> None:
    """What counts is what came, and not what was said."""
    with spool:
        await spool.fill(Bytes(b"12345", says=3), 1000)
        assert spool.length == 5


async def test_client_that_breaks_off(spool: Spool, tmp_path: Path) -> None:
    """A body that breaks in the middle leaves nothing behind."""

    class Breaks(Bytes):
        async def chunks(self) -> AsyncIterator[bytes]:
            yield bytes(2_000_000)
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError), spool:
        await spool.fill(Breaks(), NO_LIMIT)
    assert left_in(tmp_path) == []
    assert spool._file is not None
    assert spool._file.closed


async def test_before_anything_came(spool: Spool) -> None:
    """An empty spool is an empty body."""
    assert (spool.length, await spool.whole(0), await whole(spool), spool._read_at(0)) == (
        0,
        b"",
        b"",
        b"",
    )


@pytest.mark.parametrize("size", [0, 5, MEMORY_BYTES_MAX, MEMORY_BYTES_MAX + 1, 3_000_000])
async def test_written_here(tmp_path: Path, size: int) -> None:
    """What is written here reads as it was, and lies where a client's body of its size would."""
    body = os.urandom(size)
    with Spool.of(tmp_path, body) as spool:
        await spool.settle()
        assert (spool.length, spool.sha256) == (size, hashlib.sha256(body).digest())
        assert (spool._file is not None) == (size > MEMORY_BYTES_MAX)
        assert await whole(spool) == await spool.whole(size) == body
    assert left_in(tmp_path) == []


async def test_closing_twice(spool: Spool) -> None:
    """Letting go is done as often as one likes."""
    await spool.fill(Bytes(bytes(2_000_000)), NO_LIMIT)
    spool.close()
    spool.close()


async def test_no_directory(tmp_path: Path) -> None:
    """Where there is no room to spill to, it is an error and no lost byte."""
    with Spool(tmp_path / "none") as spool, pytest.raises(FileNotFoundError):
        await spool.fill(Bytes(bytes(2_000_000)), NO_LIMIT)


async def test_file_system_without_nameless_files(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where files need names, the name is gone before the first byte is in it."""
    monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", False)
    with spool:
        await spool.fill(Bytes(bytes(2_000_000)), NO_LIMIT)
        assert left_in(tmp_path) == []
        assert len(await whole(spool)) == 2_000_000
