"""Sunra's videos: a request of the common shape as a submission to its queue, and its answers.

Source: Sunra's documentation of Ark assets, "Using the asset in Seedance 2.0", and of its queue.
The document lists the fields of `reference-to-video`; other endpoints are taken to know the same
ones but for the references.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final

from proxy.core.errors import Refusal
from proxy.core.videos import ASSET, LISTS, SECONDS_AUTO, Status, VideoProgress, VideoRequest
from proxy.core.videos import segment as one_segment
from proxy.providers.answers import OK, link, member, state, why
from proxy.providers.lore import JsonObject, NativeCall
from proxy.providers.translation import (
    carried,
    foreign,
    marked,
    no_model,
    not_supported,
    unlisted,
)

_QUEUE: Final = "/v1/queue"
_REQUESTS: Final = "/v1/queue/requests"
_TO_VIDEO: Final = "reference-to-video"
_MAKER: Final = "bytedance"
_RESOLUTIONS: Final = ("480p", "720p", "1080p")
_SECONDS: Final = range(4, 16)
_IMAGES_MAX: Final = 9
_LISTED: Final = ("resolution", "ratio", "duration", "generate_audio")
_REFERENCES: Final = {kind: f"reference_{kind}s" for kind in LISTS}
_STATES: Final[dict[str, Status]] = {
    "IN_QUEUE": "queued",
    "IN_PROGRESS": "in_progress",
    "COMPLETED": "completed",
}
_FAILED: Final = "PREDICTION_FAILED"


def call(request: VideoRequest, extra: Collection[str]) -> NativeCall | Refusal:
    """`POST /v1/queue/{model}`, with the endpoint that a relay model without one needs."""
    if request.model is None:
        return no_model("Sunra")
    segments = request.model.split("/")
    if segments[0] == "requests" or any(each in ("", ".", "..") for each in segments):
        return Refusal("bad_request", "model: not the id of a model, such as maker/model/endpoint")
    if request.model.endswith("-relay") and request.references:
        segments = [*segments, _TO_VIDEO]
    refusal = not_supported(_problems(request, segments, extra))
    if refusal is not None:
        return refusal
    path = "/".join([_QUEUE, *(one_segment(each) for each in segments)])
    return NativeCall("POST", path, _body(request))


def poll(job: str) -> NativeCall:
    """`GET /v1/queue/requests/{id}/status`."""
    return NativeCall("GET", f"{_REQUESTS}/{one_segment(job)}/status")


def result(job: str) -> NativeCall:
    """`GET /v1/queue/requests/{id}`."""
    return NativeCall("GET", f"{_REQUESTS}/{one_segment(job)}")


def progress(http_status: int, answer: JsonObject) -> VideoProgress | None:
    """Read a status; a failed prediction is completed without success."""
    status = state(http_status, answer, _STATES)
    if status == "completed" and answer.get("success") is False:
        return VideoProgress("failed", error=why(answer.get("error")))
    return None if status is None else VideoProgress(status)


def outcome(http_status: int, answer: JsonObject) -> VideoProgress:
    """Read a result; one that is no result yet leaves the video in progress."""
    error = answer.get("error")
    if member(error, "code") == _FAILED or (http_status == OK and answer.get("success") is False):
        return VideoProgress("failed", error=why(error))
    if http_status != OK:
        return VideoProgress("in_progress")
    return VideoProgress("completed", url=link(member(answer.get("video"), "url")))


def _body(request: VideoRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"prompt": marked(request.prompt, request)}
    for kind, name in _REFERENCES.items():
        urls = [each.url for each in request.of_kind(kind)]
        if urls:
            body[name] = urls
    return body | carried(request)


def _problems(request: VideoRequest, segments: list[str], extra: Collection[str]) -> Iterator[str]:
    if segments[-1].endswith("-relay"):
        yield (
            "model: a relay model without references must name its endpoint, "
            f"such as {_TO_VIDEO} or text-to-video"
        )
    elif segments[0] == _MAKER and len(segments) == len((_MAKER, "model")):
        yield f"model: at Sunra one of {_MAKER}'s names its endpoint, such as …/text-to-video"
    yield from unlisted(request, "Sunra", _LISTED, extra)
    yield from _beyond(request)
    yield from foreign(request, "Sunra")
    yield from _misplaced(request, segments, extra)


def _beyond(request: VideoRequest) -> Iterator[str]:
    """Find the values that the document does not list."""
    if request.resolution is not None and request.resolution not in _RESOLUTIONS:
        yield f"resolution: Sunra makes {', '.join(_RESOLUTIONS)}"
    if request.duration_s is not None and request.duration_s not in (*_SECONDS, SECONDS_AUTO):
        yield f"duration_seconds: Sunra makes 4 to 15 seconds, or {SECONDS_AUTO} for automatic"
    if len(request.of_kind("image")) > _IMAGES_MAX:
        yield f"reference_image_urls: Sunra takes at most {_IMAGES_MAX}"


def _misplaced(request: VideoRequest, segments: list[str], extra: Collection[str]) -> Iterator[str]:
    """Find references where the endpoint has no place for them, and assets beside the relay."""
    is_relay = any(each.endswith("-relay") for each in segments)
    for each in request.references:
        if segments[-1] != _TO_VIDEO and _REFERENCES[each.kind] not in extra:
            yield f"{each.given_as}: only Sunra's {_TO_VIDEO} takes references"
        if each.url.startswith(ASSET) and not is_relay:
            yield f"{each.given_as}: Sunra knows {ASSET} on its relay models only"
