"""One large body up or down, by plain blocking sockets: nothing of it is kept here."""

import socket
import time
from dataclasses import dataclass
from typing import Final

from tests.bench.wire import content_length, head, split_head

_PIECE: Final = bytes(256 * 1024)
_PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Moved:
    """What came back, and how long all of it took."""

    status: int
    length: int
    seconds: float


def down(port: int, path: str) -> Moved:
    """Get something large."""
    return _exchange(port, head("GET", path, port), 0)


def up(port: int, path: str, size: int) -> Moved:
    """Post something large."""
    return _exchange(port, head("POST", path, port, size), size)


def _exchange(port: int, request: bytes, body_left: int) -> Moved:
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
        connection.sendall(request)
        while body_left:
            piece = _PIECE[:body_left]
            connection.sendall(piece)
            body_left -= len(piece)
        status, length = _read(connection)
    return Moved(status, length, time.perf_counter() - began)


def _read(connection: socket.socket) -> tuple[int, int]:
    """Read one answer to its end: its status and how long its body was."""
    buffer = b""
    while (found := split_head(buffer)) is None:
        buffer += _more(connection)
    answer, start = found
    length = content_length(answer)
    left = length - (len(buffer) - start)
    while left > 0:
        left -= len(_more(connection))
    return int(answer[9:12]), length


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(len(_PIECE))
    if not data:
        raise RuntimeError("the answer broke off")
    return data
