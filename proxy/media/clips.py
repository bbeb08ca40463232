"""A finished clip for a client: from this disk where it is kept here, else where it lies.

What is kept is served as files are: parts of it, conditions, the same bytes under one ETag. The
name that a browser saves it under is made of nothing but letters, digits and a few signs, and its
type is a video's or none that a browser would run.
"""

import re
from http import HTTPStatus
from typing import Final

from proxy.core.cliplinks import printable_link
from proxy.core.http import Headers, Reply, Request
from proxy.core.ranges import (
    NOT_MODIFIED,
    PARTIAL,
    PRECONDITION_FAILED,
    UNSATISFIABLE,
    Selection,
    Whole,
    select,
)
from proxy.mirror import Mirror
from proxy.store import LedgerUnavailableError
from proxy.store.clips import Clip

MEDIA_TYPE: Final = "video/mp4"
"""What a clip is where nobody said."""
NAME_CHARS_MAX: Final = 100
_EXTENSIONS: Final = {"video/quicktime": "mov", "video/webm": "webm", "video/x-matroska": "mkv"}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
_FOUND: Final = 302


class Clips:
    """Serves clips."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    async def serve(self, request: Request, provider: str, job: str, url: str) -> Reply:
        """Answer a GET or HEAD for a job's clip, whose link at its provider is `url`.

        One that is on its way is waited for. A body that is no bytes is the caller's to close.
        """
        try:
            clip = await self._mirror.settled(provider, job)
            if clip is not None and clip.state == "kept":
                return await self._kept(request, provider, job, clip) or _elsewhere(url)
        except LedgerUnavailableError:
            pass  # the link is in the job's own answer: nothing of the ledger's is needed for it
        return _elsewhere(url)

    async def _kept(self, request: Request, provider: str, job: str, clip: Clip) -> Reply | None:
        """The clip from the disk; None where it is not there any more."""
        whole = Whole(clip.size, b'"%s"' % clip.sha256.hex().encode(), clip.kept_at)
        part = select(request.method, request.headers, whole)
        head: Headers = (
            (b"ETag", whole.etag),
            (b"Last-Modified", whole.last_modified),
            (b"Accept-Ranges", b"bytes"),
        )
        if part.status == NOT_MODIFIED:
            return _reply(part.status, head)
        if part.status == PRECONDITION_FAILED:
            return _reply(part.status, (*head, (b"Content-Length", b"0")))
        if part.status == UNSATISFIABLE:
            return _reply(part.status, (*head, *_extent(part, whole), (b"Content-Length", b"0")))
        file = await self._mirror.open(provider, job, clip)
        if file is None:
            return None
        reply = _reply(part.status, (*head, *_extent(part, whole), *_described(job, clip)))
        reply.body = file.part(part.first, part.end)
        return reply


def _extent(part: Selection, whole: Whole) -> Headers:
    """How much of the clip an answer has."""
    if part.status == UNSATISFIABLE:
        return ((b"Content-Range", b"bytes */%d" % whole.size),)
    length = (b"Content-Length", b"%d" % (part.end - part.first))
    if part.status != PARTIAL:
        return (length,)
    place = b"bytes %d-%d/%d" % (part.first, part.end - 1, whole.size)
    return (length, (b"Content-Range", place))


def _described(job: str, clip: Clip) -> Headers:
    """What a clip is, and what it is called."""
    media_type = clip.media_type or MEDIA_TYPE
    name = _UNSAFE.sub("_", job)[:NAME_CHARS_MAX].strip("_-") or "clip"
    name = f"{name}.{_EXTENSIONS.get(media_type, 'mp4')}"
    return (
        (b"Content-Type", media_type.encode()),
        (b"Content-Disposition", f'inline; filename="{name}"'.encode()),
        (b"X-Content-Type-Options", b"nosniff"),
    )


def _elsewhere(url: str) -> Reply:
    """Where the provider has it; its link may be short-lived, so nobody is to keep this answer."""
    headers = (
        (b"Location", printable_link(url).encode()),
        (b"Cache-Control", b"no-store"),
        (b"Content-Length", b"0"),
    )
    return _reply(_FOUND, headers)


def _reply(status: int, headers: Headers) -> Reply:
    return Reply(status, HTTPStatus(status).phrase, headers)
