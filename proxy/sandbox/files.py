"""What the links in the providers' answers lead to: clips, pictures and sounds, small and playable.

A permanent link is a name. A signed one carries its end and a signature besides: past its end, or
with anything about it changed, it is a 403, as at the stores where real providers keep their files.
Every name has a body of its own, and always the same one, so that nobody can take one file for
another. A range may be asked for.
"""

import hmac
import io
import posixpath
import secrets
import struct
import wave
import zlib
from collections.abc import Callable
from hashlib import sha256, shake_256
from typing import Final
from urllib.parse import quote

from aiohttp import web

from proxy.sandbox.site import Site

FOLDER: Final = "/files"
FILLER_BYTES: Final = 32_768
"""How much there is to a clip: enough to be read in several pieces."""
_SECONDS: Final = 5
_RATE: Final = 8000
_MATRIX: Final = (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


class Files:
    """One provider's store of files, under one folder of its origin."""

    def __init__(self, site: Site, folder: str = FOLDER) -> None:
        self._site = site
        self._folder = folder
        self._secret = secrets.token_bytes(16)

    def link(self, name: str) -> str:
        """A link that lives as long as the sandbox does."""
        return f"{self._site.origin}{self._folder}/{quote(name, safe='')}"

    def signed(self, name: str, ends_at: float) -> str:
        """A link that works until then, and not one second longer."""
        ends = str(int(ends_at))
        return f"{self.link(name)}?expires={ends}&signature={self._signature(name, ends)}"

    async def permanent(self, request: web.Request) -> web.Response:
        """`GET {folder}/{name}`."""
        return _served(request)

    async def temporary(self, request: web.Request) -> web.Response:
        """`GET {folder}/{name}?expires=…&signature=…`."""
        ends, given = (request.query.get(key, "") for key in ("expires", "signature"))
        name = request.match_info["name"]
        if not hmac.compare_digest(given.encode(), self._signature(name, ends).encode()):
            return web.Response(status=403, text="The signature does not match.\n")
        if self._site.clock() >= int(ends):
            return web.Response(status=403, text="The link has expired.\n")
        return _served(request)

    def _signature(self, name: str, ends: str) -> str:
        return hmac.new(self._secret, f"{name}\n{ends}".encode(), sha256).hexdigest()


def content(name: str) -> tuple[bytes, str]:
    """A file's bytes and their media type, by its name; one without an ending is a clip."""
    make, media_type = _KINDS.get(posixpath.splitext(name)[1].lower(), _KINDS[".mp4"])
    return make(name), media_type


def _served(request: web.Request) -> web.Response:
    """All of a file, or the one range that was asked for (RFC 9110); a garbled range is none."""
    body, media_type = content(request.match_info["name"])
    headers = {"Accept-Ranges": "bytes"}
    try:
        wanted = request.http_range
    except ValueError:
        wanted = slice(None)
    if wanted.start is None:
        return web.Response(body=body, content_type=media_type, headers=headers)
    start, stop, _ = wanted.indices(len(body))
    if start >= stop:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
    return web.Response(status=206, body=body[start:stop], content_type=media_type, headers=headers)


def _film(name: str) -> bytes:
    """An MP4 whose header is whole, with nothing that could be seen in it."""
    header = struct.pack(
        ">IIIIIIH10x9I24xI", 0, 0, 0, 1000, 1000 * _SECONDS, 0x10000, 0x100, *_MATRIX, 1
    )
    kind = b"isom" + struct.pack(">I", 0x200) + b"isomiso2mp41"
    filler = shake_256(name.encode()).digest(FILLER_BYTES)
    return _box(b"ftyp", kind) + _box(b"moov", _box(b"mvhd", header)) + _box(b"mdat", filler)


def _picture(name: str) -> bytes:
    """A PNG of one pixel, in a colour of its own."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0" + shake_256(name.encode()).digest(3))
    chunks = ((b"IHDR", header), (b"tEXt", b"Title\0" + name.encode()), (b"IDAT", pixel))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in (*chunks, (b"IEND", b"")))


def _sound(name: str) -> bytes:
    """A second of noise."""
    written = io.BytesIO()
    with wave.open(written, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(_RATE)
        sound.writeframes(shake_256(name.encode()).digest(_RATE))
    return written.getvalue()


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload) + 8) + kind + payload


def _chunk(kind: bytes, payload: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + payload))
    return struct.pack(">I", len(payload)) + kind + payload + check


_KINDS: Final[dict[str, tuple[Callable[[str], bytes], str]]] = {
    ".mp4": (_film, "video/mp4"),
    ".png": (_picture, "image/png"),
    ".wav": (_sound, "audio/wav"),
}
