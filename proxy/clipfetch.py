"""Fetching one finished clip: a link, its redirects, an answer, and the disk.

A fetch carries nothing of anybody: no key, no payment, no header of a client's; and it goes only
where the config lets it, each redirect judged anew. What comes is streamed to the disk. An error
page, a body that ends early, and one whose end nobody can tell are no clips. Whatever stands in the
way is told in words that quote no more of a link than its host.
"""

import re
from dataclasses import dataclass
from typing import Final

from proxy.clipfiles import ClipFiles
from proxy.core.cliplinks import Link, Unfit, judge
from proxy.core.config import MirrorConfig
from proxy.core.http import Headers, get
from proxy.store.clips import RETRIED_S, Kept, Wanted
from proxy.upstream import (
    Answer,
    Call,
    NeverSentError,
    TimedOutError,
    Upstream,
    UpstreamError,
)

REDIRECTS_MAX: Final = 5
SOON_S: Final = 3600
"""How long a link that answers 403, 404 or a page is tried: some are named before they work."""
_HEADERS: Final[Headers] = (
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", b"farebox"),
)
_OK: Final = 200
_FAULT: Final = 500
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_PASSING: Final = (408, 425, 429)
_SOON_PASSING: Final = (403, 404, 410)
_NO_CLIP: Final = re.compile(r"text/.*|application/(?:.*\+)?(?:json|xml)|multipart/.*")
"""What an error page is; anything else is taken for the clip."""
_VIDEO: Final = re.compile(r"video/[a-z0-9][a-z0-9.+-]{0,60}")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")


class NoClipError(Exception):
    """A fetch brought no clip. It is tried again for `patience_s` after the first attempt."""

    def __init__(self, note: str, patience_s: int = 0, host: str = "") -> None:
        super().__init__(note)
        self.note = note
        self.patience_s = patience_s
        self.host = host


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches clips. `silence_s` bounds a moment without a byte."""

    upstream: Upstream
    files: ClipFiles
    connect_s: float
    silence_s: float

    async def fetch(self, wanted: Wanted, base_url: str | None, mirror: MirrorConfig) -> Kept:
        """Fetch a clip to the disk; NoClipError where there is none.

        FullError and OSError are the disk's. `base_url` is its provider's own, if that is known.
        """
        if wanted.link is None:
            raise NoClipError("its job's answer names no video")
        answer, host = await self._open(wanted.link, base_url, mirror)
        try:
            length = _promised(answer, host, mirror.clip_bytes_max)
            return await self._write(wanted, answer, host, length, mirror)
        finally:
            answer.close()

    async def _open(
        self, link: str, base_url: str | None, mirror: MirrorConfig
    ) -> tuple[Answer, str]:
        """Follow a link as far as that is allowed, to an answer that is no redirect."""
        came_from = ""
        for _ in range(REDIRECTS_MAX + 1):
            judged = judge(link, base_url, mirror.hosts, came_from)
            if isinstance(judged, Unfit):
                raise NoClipError(judged.note, host=judged.host)
            answer = await self._send(judged)
            if answer.status not in _REDIRECTS:
                return answer, judged.host
            location = get(answer.headers, b"location")
            answer.close()
            if location is None:
                raise NoClipError(f"{judged.host} redirects to nowhere", SOON_S)
            came_from, link = judged.url, location.decode("utf-8", "surrogateescape")
        raise NoClipError(f"it is redirected more than {REDIRECTS_MAX} times", SOON_S)

    async def _send(self, link: Link) -> Answer:
        call = Call("GET", link.url, _HEADERS, None, None, self.connect_s, self.silence_s)
        try:
            return await self.upstream.send(call)
        except UpstreamError as problem:
            raise _broken(link.host, problem) from problem

    async def _write(
        self,
        wanted: Wanted,
        answer: Answer,
        host: str,
        length: int | None,
        mirror: MirrorConfig,
    ) -> Kept:
        """Stream an answer's body to the disk: all of it, or nothing."""
        part = await self.files.part(length, mirror.total_bytes_max)
        try:
            async for chunk in answer.chunks():
                if part.size + len(chunk) > mirror.clip_bytes_max:
                    raise _too_large(mirror.clip_bytes_max)
                await part.add(chunk)
            if part.size != (part.size if length is None else length) or not part.size:
                raise NoClipError(f"{host} gives {part.size} bytes of {length or 'some'}", SOON_S)
            await part.finish(*wanted.key)
        except UpstreamError as problem:
            raise _broken(host, problem) from problem
        finally:
            part.discard()
        return Kept(part.size, part.sha256, _media_type(answer.headers))


def _promised(answer: Answer, host: str, bytes_max: int) -> int | None:
    """How long a clip will be, as far as its head says; NoClipError for what is none."""
    if answer.status != _OK:
        raise NoClipError(f"{host} answers {answer.status}", _patience_s(answer.status))
    said = get(answer.headers, b"content-type") or b""
    media_type = said.partition(b";")[0].strip().lower().decode("latin-1")
    if _NO_CLIP.fullmatch(media_type):
        raise NoClipError(f"{host} answers with {media_type[:60]!a}, which is no clip", SOON_S)
    if (get(answer.headers, b"content-encoding") or b"identity").strip().lower() != b"identity":
        raise NoClipError(f"{host} answers in an encoding that was not asked for", SOON_S)
    length = (get(answer.headers, b"content-length") or b"").strip()
    if _LENGTH.fullmatch(length):
        if int(length) > bytes_max:
            raise _too_large(bytes_max)
        return int(length)
    if (get(answer.headers, b"transfer-encoding") or b"").strip().lower() != b"chunked":
        # Where the end of the connection is the end of the clip, half of one looks whole.
        raise NoClipError(f"{host} does not say where the clip ends", SOON_S)
    return None


def _patience_s(status: int) -> int:
    if status >= _FAULT or status in _PASSING:
        return RETRIED_S
    return SOON_S if status in _SOON_PASSING else 0


def _media_type(headers: Headers) -> str:
    """A clip's type as it is told again: a video's, or none."""
    said = get(headers, b"content-type") or b""
    media_type = said.partition(b";")[0].strip().lower().decode("latin-1")
    return media_type if _VIDEO.fullmatch(media_type) else ""


def _too_large(bytes_max: int) -> NoClipError:
    return NoClipError(f"it is larger than mirror.clip_bytes_max, {bytes_max}")


def _broken(host: str, problem: UpstreamError) -> NoClipError:
    """What went wrong on the way, without the link: what others say of it may quote it."""
    if isinstance(problem, NeverSentError):
        return NoClipError(f"no connection to {host}", RETRIED_S)
    how = "fell silent" if isinstance(problem, TimedOutError) else "broke off"
    return NoClipError(f"{host} {how}", RETRIED_S)
