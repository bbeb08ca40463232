"""How an answer goes out: each piece as it comes, at the pace that the client takes it.

Two ends of a stream must never be confused. A client that hung up is no failure of the provider;
and a body that broke on the provider's side must not look whole to the client.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from proxy.gate.answer import Answer

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing resets the connection."""


@dataclass(slots=True)
class Delivery:
    """How the writing of an answer went; filled in on the way, so that it is true at any time.

    `failure` is what broke the body after the head was out. It is never the client's doing: that is
    `client_gone`.
    """

    bytes_out: int = 0
    client_gone: bool = False
    failure: Exception | None = None


async def send(
    raw: web.BaseRequest, answer: Answer, delivery: Delivery, *, stall_s: float
) -> web.StreamResponse:
    """Write an answer to the client, each piece as it comes; close its source whatever happens.

    Cancelled, it has closed the source too. A client that hangs up, or takes nothing for `stall_s`,
    ends it quietly.
    """
    source = answer.reply.body
    try:
        await answer.prepare(raw)
        if isinstance(source, bytes):
            await _write_whole(raw, answer, source, delivery, stall_s)
        else:
            await _write_stream(raw, answer, source, delivery, stall_s)
    except (ConnectionError, TimeoutError):
        # The source's own failures never get here: these two are the client's.
        delivery.client_gone = True
        answer.abandon()
        _cut(raw, answer)
    except asyncio.CancelledError:
        # Who leaves with all that was announced has not left early.
        delivery.client_gone = raw.transport is None and delivery.bytes_out != answer.declared
        _cut(raw, answer)
        raise
    finally:
        aclose = getattr(source, "aclose", None)
        if aclose is not None:
            await aclose()
    return answer


async def _write_whole(
    raw: web.BaseRequest, answer: Answer, body: bytes, delivery: Delivery, stall_s: float
) -> None:
    async with asyncio.timeout(stall_s):
        await answer.write_eof()
    if not answer.bodiless and raw.transport is not None:
        delivery.bytes_out = len(body)


async def _write_stream(
    raw: web.BaseRequest,
    answer: Answer,
    source: AsyncIterator[bytes],
    delivery: Delivery,
    stall_s: float,
) -> None:
    if answer.bodiless:
        await answer.write_eof()
        return
    # The head goes with the first chunk if that is at hand, and otherwise does not wait for it.
    asyncio.get_running_loop().call_soon(_flush, answer)
    while True:
        try:
            chunk = await anext(source)
        except StopAsyncIteration:
            break
        except Exception as failure:  # noqa: BLE001 - whatever it is, the body is not whole
            delivery.failure = failure
            break
        if answer.declared is not None and delivery.bytes_out + len(chunk) > answer.declared:
            # Bytes past the length would be read as the next answer.
            delivery.failure = LengthError(f"more than the {answer.declared} bytes announced")
            break
        await answer.stream.write(chunk, drain=False)
        delivery.bytes_out += len(chunk)
        if raw.protocol.writing_paused:
            async with asyncio.timeout(stall_s):
                await answer.stream.drain()
    if delivery.failure is None and answer.declared not in (None, delivery.bytes_out):
        delivery.failure = LengthError(f"{delivery.bytes_out} bytes of {answer.declared}")
    if delivery.failure is not None:
        answer.send_head()
        answer.abandon()
        _cut(raw, answer)
        return
    await answer.write_eof()


def _flush(answer: Answer) -> None:
    with suppress(ConnectionError):  # the next write finds it too, and has somebody to tell
        answer.send_head()


class LengthError(Exception):
    """A streamed body was not as long as its Content-Length said."""


def _cut(raw: web.BaseRequest, answer: Answer) -> None:
    """End the connection so that what was sent cannot be taken for whole.

    With a length or chunks the client sees that something is missing, so what is under way may
    still arrive. Without, the end of the connection would be the end of the body: reset it.
    """
    transport = raw.transport
    if transport is None:
        return
    if not answer.framed:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    raw.protocol.force_close()
