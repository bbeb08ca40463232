"""The bodies in which clients write fields: JSON, and the two kinds of forms.

A body is read whole, up to a size that no text needs, and means one thing or is refused: a key
twice, a form that breaks off, text that is not UTF-8. An uploaded file is refused by its field's
name before its bytes are looked at.
"""

import asyncio
import warnings
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    BodyPartReader,
    MultipartReader,
)
from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import parse_mimetype
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader

from proxy.core import strict_json
from proxy.core.errors import Refusal, Refused
from proxy.core.http import Request, get
from proxy.core.openai_requests import form_fields, unsupported_upload

BODY_BYTES_MAX: Final = 1_048_576
"""A prompt and some URLs are a few kilobytes."""
FIELDS_MAX: Final = 1000
HEADERS_MAX: Final = 16
"""Of one part: two or three say all there is to say of a text."""
_MULTIPART: Final = "multipart/form-data"
_URLENCODED: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_ODD_HEADS: Final = (BadContentDispositionHeader, BadContentDispositionParam)
"""What aiohttp warns of, in the client's own words: a head that it cannot make sense of."""
_AS_IT_IS: Final = ("", "7bit", "8bit", "binary", "identity")


async def read_fields(request: Request) -> Mapping[str, Any]:
    """Read the fields of a request's body; `Refused` says what is wrong with it."""
    encoding = get(request.headers, b"content-encoding") or b"identity"
    if encoding.strip().lower() != b"identity":
        raise Refused(Refusal("bad_request", "the body is compressed, which is not taken here"))
    content_type = (get(request.headers, b"content-type") or b"").decode("latin-1")
    body, is_whole = await _read(request)
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _MULTIPART:
        return _entered(await _multipart(body, content_type, is_whole=is_whole))
    if not is_whole:
        raise _too_large()
    if kind == _URLENCODED:
        return _entered(_urlencoded(body))
    if kind not in (_JSON, ""):
        message = f"the body's type is one of {_JSON}, {_MULTIPART} and {_URLENCODED}"
        raise Refused(Refusal("bad_request", message))
    return _json(body)


async def _read(request: Request) -> tuple[bytes, bool]:
    """The body, or as much of it as is looked at, and whether that is all."""
    read = bytearray()
    async for chunk in request.body.chunks():
        read += chunk
        if len(read) > BODY_BYTES_MAX:
            return bytes(read[:BODY_BYTES_MAX]), False
    return bytes(read), True


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        fields = strict_json.loads(body)
    except strict_json.NotStrictJson as problem:
        raise Refused(Refusal("bad_request", f"the body: {problem}")) from None
    if not isinstance(fields, dict):
        raise Refused(Refusal("bad_request", "the body is no JSON object"))
    return fields


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError:
        raise _broken() from None


async def _multipart(body: bytes, content_type: str, *, is_whole: bool) -> list[tuple[str, str]]:
    """The texts of a form.

    Of one that is too large only its beginning is here: it may say that it holds a file.
    """
    # Line by line, past lines that nobody needs, a large body would keep everybody waiting.
    body = body.lstrip(b"\r\n")
    if not _begins(body, content_type):
        raise _broken() if is_whole else _too_large()
    try:
        # The whole form is there, so nobody else runs meanwhile, under this rule for warnings.
        with warnings.catch_warnings():
            for category in _ODD_HEADS:
                warnings.simplefilter("error", category)
            return await _parts(body, content_type)
    except (ValueError, RuntimeError, HttpProcessingError, *_ODD_HEADS):
        raise (_broken() if is_whole else _too_large()) from None


def _begins(body: bytes, content_type: str) -> bool:
    """Whether a form begins here: its first line is the boundary, or the one that ends it."""
    boundary = parse_mimetype(content_type).parameters.get("boundary", "").encode()
    first = body.partition(b"\n")[0].rstrip()
    return first in (b"--" + boundary, b"--" + boundary + b"--")


async def _parts(body: bytes, content_type: str) -> list[tuple[str, str]]:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), BODY_BYTES_MAX, loop=loop)
    stream.feed_data(body)
    stream.feed_eof()
    reader = MultipartReader({"Content-Type": content_type}, stream, max_headers=HEADERS_MAX)
    pairs: list[tuple[str, str]] = []
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or len(pairs) == FIELDS_MAX:
            raise ValueError("no form")
        name = _name(part)
        pairs.append((name, (await part.read(decode=False)).decode()))
    return pairs


def _name(part: BodyPartReader) -> str:
    """The name of a field; `Refused` for that of a file."""
    name, filename = part.name, part.filename
    if name is None:
        raise ValueError("a part without a name")
    if filename is not None:
        raise Refused(unsupported_upload(name))
    coding = part.headers.get("Content-Transfer-Encoding", "").strip().lower()
    if coding not in _AS_IT_IS or "Content-Encoding" in part.headers:
        raise ValueError("a part that is encoded")
    return name


def _entered(pairs: list[tuple[str, str]]) -> Mapping[str, Any]:
    fields = form_fields(pairs)
    if isinstance(fields, Refusal):
        raise Refused(fields)
    return fields


def _broken() -> Refused:
    return Refused(Refusal("bad_request", "the form is broken, or is no form; nothing was sent"))


def _too_large() -> Refused:
    message = f"a video is asked for in at most {BODY_BYTES_MAX} bytes: give URLs, not files"
    return Refused(Refusal("body_too_large", message))
