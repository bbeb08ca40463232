"""PomexAI: a bearer key, assets and generations under `/v1/video`.

Source: PomexAI's Real-Human Asset API, version 1. Its task ids begin with `cgt-`, as Sunra's asset
ids do: an id alone decides nothing.
"""

from collections.abc import Collection
from typing import Final

from proxy.core.errors import Refusal
from proxy.core.videos import VideoProgress, VideoRequest, segment
from proxy.providers import people, pomex_videos
from proxy.providers.lore import (
    Enrolment,
    GivenOut,
    JsonObject,
    Likeness,
    Lore,
    NativeCall,
    Opened,
    Verification,
)

_ASSETS: Final = "/v1/video/assets"
_GENERATIONS: Final = "/v1/video/generations"
_LINK_S: Final = 30 * 60
"""How long a link lives, about."""


class Pomex(Lore):
    """What PomexAI documents."""

    translates = True
    portrait_models = ("byteplus/seedance-2.0", "byteplus/seedance-2.0-fast")
    calls_back = True

    def enrolment(self, wanted: Enrolment) -> NativeCall:
        """An asset in a verified person's group, or without one in the default Virtual group."""
        group = {} if wanted.group_id is None else {"group_id": wanted.group_id}
        body = {"url": wanted.image_url, "asset_type": "Image", "name": wanted.name, **group}
        return NativeCall("POST", _ASSETS, body)

    def portrait_poll(self, id_: str) -> NativeCall:
        """Get an asset."""
        return NativeCall("GET", f"{_ASSETS}/{segment(id_)}")

    def session_call(self, wanted: Verification) -> NativeCall | Refusal:
        """A session; its phone ends at the callback, which alone hears of the person's group."""
        if wanted.callback_url is None:
            message = (
                "callback_url: PomexAI sends the phone on to a page of yours. Name its https URL, "
                "or set public_url in the config: then the daemon waits there itself"
            )
            return Refusal("bad_request", message)
        lang = {} if wanted.lang is None else {"lang": wanted.lang}
        body = {"callback_url": wanted.callback_url, **lang}
        return NativeCall("POST", f"{_ASSETS}/sessions", body)

    def session_opened(self, answer: JsonObject) -> Opened | None:
        """A link, and nothing else."""
        link = people.link(answer.get("h5_link"))
        return None if link is None else Opened(link, _LINK_S)

    def likeness(self, answer: JsonObject) -> Likeness | None:
        """An asset, as uploading and getting it answer."""
        id_, status, group = (answer.get(key) for key in ("id", "status", "group_id"))
        if not isinstance(id_, str) or not id_ or not isinstance(status, str):
            return None
        return Likeness(id_, status, group if isinstance(group, str) else None)

    def given_out(
        self, method: str, path: str, fields: JsonObject, answer: JsonObject
    ) -> tuple[GivenOut, ...]:
        """An asset (`asset-…`) or a generation task (`cgt-…`)."""
        id_ = answer.get("id")
        if method != "POST" or not isinstance(id_, str):
            return ()
        if path == _ASSETS:
            return (GivenOut("asset", id_),)
        if path == _GENERATIONS:
            model = fields.get("model")
            return (GivenOut("job", id_, model if isinstance(model, str) else ""),)
        return ()

    def video_call(self, request: VideoRequest, extra: Collection[str]) -> NativeCall | Refusal:
        """A generation, or what it cannot express."""
        return pomex_videos.call(request, extra)

    def video_poll(self, job: str) -> NativeCall:
        """The task."""
        return pomex_videos.poll(job)

    def video_progress(self, http_status: int, answer: JsonObject) -> VideoProgress | None:
        """How far a task is."""
        return pomex_videos.progress(http_status, answer)


POMEX: Final = Pomex()
