"""HTTP out: one call to a provider, its answer as it came.

Nothing is followed, decompressed, stored or retried here. The one thing that callers need to know
of a failure is whether any byte of the request can have left, for that decides whether a payment
may be taken back; so every foreign exception is mapped once, here, to `NeverSent` or `Broken`.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from proxy.core.http import Headers

HEADER_BYTES_MAX: Final = 128 * 1024
"""aiohttp's own limit of 8,190 is less than challenges in the wild.

Ours lets a 64 KiB challenge be seen and judged.
"""

KEEPALIVE_S: Final = 90
CONNECTIONS_MAX: Final = 512
DISCARD_BYTES_MAX: Final = 65_536
DISCARD_S: Final = 0.5


class UpstreamError(Exception):
    """The provider could not be asked, or did not finish answering."""


class NeverSentError(UpstreamError):
    """No byte of the request can have reached the provider: no connection was made."""


class BrokenError(UpstreamError):
    """The request may have arrived, and no whole answer came back."""


class TimedOutError(BrokenError):
    """The request may have arrived, and no answer came in time."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent. `url` is encoded already.

    `body` is None for none, bytes, or an iterator of a known or unknown length.
    """

    method: str
    url: str
    headers: Headers
    body: AsyncIterator[bytes] | None
    length: int | None
    connect_timeout_s: float
    read_timeout_s: float


class Answer(Protocol):
    """A provider's answer, its body still on the wire."""

    status: int
    reason: str
    headers: Headers

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; BrokenError if it stops short.

        A read that is cancelled loses nothing: ask for the chunks once more to go on.
        """
        ...

    async def read(self, limit: int) -> tuple[bytes, bool]:
        """Read at most `limit` bytes, and say whether that was all."""
        ...

    async def discard(self) -> None:
        """Throw the body away.

        A short one is drained so that the connection stays warm, any other closes it.
        """
        ...

    def close(self) -> None:
        """Stop reading; the connection goes back if the body was whole, else it is closed."""
        ...


class Upstream(Protocol):
    """Whoever carries calls out."""

    async def send(self, call: Call) -> Answer:
        """Send one call and wait for the head of its answer.

        NeverSentError, BrokenError or TimedOutError.
        """
        ...


class AiohttpUpstream:
    """`Upstream` on aiohttp's client, one pool of warm connections for all providers."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=CONNECTIONS_MAX,
                keepalive_timeout=KEEPALIVE_S,
                ssl=ssl.create_default_context(),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        )
        # aiohttp sends idempotent requests again on a stale connection. A paid GET would then be
        # seen twice by the seller.
        self._session._retry_connection = False  # noqa: SLF001 - there is no public switch

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, call: Call) -> Answer:
        """See `Upstream.send`."""
        headers = CIMultiDict(
            (name.decode("latin-1"), _text(value)) for name, value in call.headers
        )
        if call.body is not None and call.length is not None:
            headers["Content-Length"] = str(call.length)
        timeout = aiohttp.ClientTimeout(
            total=None,
            connect=None,
            sock_connect=call.connect_timeout_s,
            sock_read=call.read_timeout_s,
        )
        try:
            response = await self._session.request(
                call.method,
                URL(call.url, encoded=True),
                headers=headers,
                data=call.body,
                allow_redirects=False,
                timeout=timeout,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as problem:
            raise NeverSentError(_said(problem)) from problem
        except TimeoutError as problem:
            raise TimedOutError(f"no answer within {call.read_timeout_s:g} s") from problem
        except (aiohttp.ClientError, OSError) as problem:
            raise BrokenError(_said(problem)) from problem
        return _AiohttpAnswer(response)


class _AiohttpAnswer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.reason = response.reason or ""
        self.headers: Headers = tuple(response.raw_headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except TimeoutError as problem:
            self.close()
            raise TimedOutError("the answer stopped in the middle") from problem
        except (aiohttp.ClientError, OSError) as problem:
            self.close()
            raise BrokenError(_said(problem)) from problem
        self.close()

    async def read(self, limit: int) -> tuple[bytes, bool]:
        try:
            return await self._read(limit)
        except TimeoutError as problem:
            self.close()
            raise TimedOutError("the answer stopped in the middle") from problem
        except (aiohttp.ClientError, OSError) as problem:
            self.close()
            raise BrokenError(_said(problem)) from problem
        except BaseException:
            self.close()
            raise

    async def _read(self, limit: int) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        size = 0
        while size < limit:
            part = await self._response.content.read(limit - size)
            if not part:
                return b"".join(parts), True
            parts.append(part)
            size += len(part)
        return b"".join(parts), self._response.content.at_eof()

    async def discard(self) -> None:
        try:
            async with asyncio.timeout(DISCARD_S):
                await self.read(DISCARD_BYTES_MAX)
        except (TimeoutError, UpstreamError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _text(value: bytes) -> str:
    """A header value as aiohttp's writer takes it.

    It writes UTF-8, so bytes that are not are read as Latin-1.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _said(problem: BaseException) -> str:
    return str(problem) or type(problem).__name__
