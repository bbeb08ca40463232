"""A body for tests."""

from collections.abc import AsyncIterator


class Bytes:
    """A body of some chunks, of a length that it says or keeps to itself."""

    def __init__(self, *chunks: bytes, says: int | None = None) -> None:
        self._chunks = chunks
        self.length = says
        self.read = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the chunks, and count them."""
        for chunk in self._chunks:
            self.read += 1
            yield chunk
