"""A request's body, kept so that it can be sent twice.

In memory to a mebibyte, beyond that in a nameless file.

Asking for the price and paying for it are two requests with one body. It is read from the client
once, before anything is sent, and hashed on the way; past the limit it is refused before anything
is paid.
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Body

MEMORY_BYTES_MAX: Final = 1_048_576
_READ_BYTES: Final = 262_144


class Spool:
    """A body that can be read any number of times, by several readers at once too.

    It is a `Body` of known length.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._hash = hashlib.sha256()
        self._length = 0

    @classmethod
    def of(cls, directory: Path, data: bytes) -> Self:
        """A body that is written here."""
        spool = cls(directory)
        spool._length = len(data)
        spool._hash.update(data)
        spool._memory += data
        return spool

    @property
    def directory(self) -> Path:
        """Where it spills to."""
        return self._directory

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def length(self) -> int:
        """How many bytes there are."""
        return self._length

    @property
    def sha256(self) -> bytes:
        """The hash of all of it."""
        return self._hash.digest()

    async def fill(self, body: Body, bytes_max: int) -> None:
        """Read a whole body.

        Refused (`body_too_large`) as soon as it is known to be past the limit.
        """
        if body.length is not None and body.length > bytes_max:
            raise _too_large(bytes_max)
        async for chunk in body.chunks():
            self._length += len(chunk)
            if self._length > bytes_max:
                raise _too_large(bytes_max)
            self._hash.update(chunk)
            self._memory += chunk
            await self.settle()
        if self._file is not None:
            await asyncio.to_thread(self._spill)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body from its beginning."""
        if self._file is None:
            if self._memory:
                yield bytes(self._memory)
            return
        offset = 0
        while chunk := await asyncio.to_thread(self._read_at, offset):
            offset += len(chunk)
            yield chunk

    async def whole(self, bytes_max: int) -> bytes | None:
        """All of it, if it is no longer than that."""
        if self._length > bytes_max:
            return None
        return b"".join([chunk async for chunk in self.chunks()])

    async def settle(self) -> None:
        """Have what was written here lie where a body of its length belongs."""
        if len(self._memory) > MEMORY_BYTES_MAX:
            await asyncio.to_thread(self._spill)

    def close(self) -> None:
        """Let go of memory and file; the file has no name, so nothing is left behind."""
        self._memory.clear()
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - `close` closes it
        self._file.write(self._memory)
        self._file.flush()
        self._memory.clear()

    def _read_at(self, offset: int) -> bytes:
        if self._file is None:
            return b""
        return os.pread(self._file.fileno(), _READ_BYTES, offset)


def _too_large(bytes_max: int) -> Refused:
    message = (
        f"the body is over {bytes_max} bytes, and has to be kept or read as a whole;"
        " nothing was paid. What is in it may be given as a URL"
    )
    return Refused(Refusal("body_too_large", message))
