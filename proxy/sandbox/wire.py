"""Small things about HTTP: reading a JSON body, answering, streaming, hanging up rudely."""

import asyncio
import json
import socket
import struct
from collections.abc import Iterable, Mapping

from aiohttp import web

Json = dict[str, object]


def reply(
    body: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with a JSON object."""
    return web.json_response(dict(body), status=status, headers=headers)


async def read_object(request: web.Request) -> Json | None:
    """The body as a JSON object; None for anything else."""
    try:
        body = json.loads(await request.read())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def event(body: object) -> bytes:
    """One server-sent event."""
    text = body if isinstance(body, str) else json.dumps(body)
    return f"data: {text}\n\n".encode()


async def stream(
    request: web.Request,
    pieces: Iterable[bytes],
    headers: Mapping[str, str],
    pause_s: float = 0.0,
) -> web.StreamResponse:
    """Answer 200 piece by piece, with a pause between two of them."""
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for index, piece in enumerate(pieces):
        if index:
            await asyncio.sleep(pause_s)
        await response.write(piece)
    await response.write_eof()
    return response


def drop(request: web.Request) -> web.Response:
    """Close the connection without an answer; what is returned here is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def reset_halfway(
    request: web.Request, body: bytes, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer 200 with the true length, send half of the body, then reset the connection."""
    response = web.StreamResponse(headers={**headers, "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    transport = request.transport
    if transport is not None:
        while transport.get_write_buffer_size():  # noqa: ASYNC110 - a transport has no event for it
            await asyncio.sleep(0)
        # A linger of zero makes the kernel answer with RST instead of an orderly FIN.
        peer: socket.socket = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return response
