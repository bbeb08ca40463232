"""PomexAI's videos: a request of the common shape as a generation, and its answers.

Source: PomexAI's Real-Human Asset API, "Generate a Video From an Asset". It lists a model and the
parts of the content, a text and reference images, and nothing else.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final

from proxy.core.errors import Refusal
from proxy.core.videos import Status, VideoProgress, VideoRequest, segment
from proxy.providers.answers import link, member, state, why
from proxy.providers.lore import JsonObject, NativeCall
from proxy.providers.translation import (
    carried,
    foreign,
    no_model,
    not_supported,
    unlisted,
    worded,
)

_GENERATIONS: Final = "/v1/video/generations"
_STATES: Final[dict[str, Status]] = {
    "queued": "queued",
    "running": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
    "cancelled": "failed",
}


def call(request: VideoRequest, extra: Collection[str]) -> NativeCall | Refusal:
    """`POST /v1/video/generations`."""
    if request.model is None:
        return no_model("PomexAI")
    refusal = not_supported(_problems(request, extra))
    if refusal is not None:
        return refusal
    body = {"model": request.model, "content": _content(request)}
    return NativeCall("POST", _GENERATIONS, body | carried(request))


def poll(job: str) -> NativeCall:
    """`GET /v1/video/generations/{task_id}`."""
    return NativeCall("GET", f"{_GENERATIONS}/{segment(job)}")


def progress(http_status: int, answer: JsonObject) -> VideoProgress | None:
    """Read a task; it holds its own result."""
    status = state(http_status, answer, _STATES)
    if status == "completed":
        return VideoProgress(status, url=link(member(answer.get("content"), "video_url")))
    if status == "failed":
        fallback = "cancelled" if answer.get("status") == "cancelled" else None
        return VideoProgress(status, error=why(answer.get("error")) or fallback)
    return None if status is None else VideoProgress(status)


def _content(request: VideoRequest) -> list[dict[str, Any]]:
    images = [
        {"type": "image_url", "image_url": {"url": each.url}, "role": "reference_image"}
        for each in request.of_kind("image")
    ]
    return [{"type": "text", "text": worded(request.prompt, request)}, *images]


def _problems(request: VideoRequest, extra: Collection[str]) -> Iterator[str]:
    yield from unlisted(request, "PomexAI", (), extra)
    yield from foreign(request, "PomexAI")
    for each in request.references:
        if each.kind != "image":
            yield f"{each.given_as}: PomexAI's content takes text and reference images only"
