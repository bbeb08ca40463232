"""Sunra: a bearer key, assets under `/v1/ark`, generations in a queue whose path names the model.

Source: Sunra's documentation of Ark assets and of its queue.
"""

from collections.abc import Collection
from typing import Final

from proxy.core.errors import Refusal
from proxy.core.videos import VideoProgress, VideoRequest, segment
from proxy.providers import sunra_videos
from proxy.providers.lore import Enrolment, GivenOut, JsonObject, Likeness, Lore, NativeCall

_ASSETS: Final = "/v1/ark/assets"
_QUEUE: Final = "/v1/queue/"
_REQUESTS: Final = "/v1/queue/requests/"


class Sunra(Lore):
    """What Sunra documents."""

    translates = True
    portrait_models = ("bytedance/seedance-2.0-relay", "bytedance/seedance-2.0-fast-relay")
    passing_statuses = Lore.passing_statuses | {403}
    """It says 403 where others say 429."""

    def model_of(self, method: str, path: str, fields: JsonObject) -> str | None:
        """The queue's path is the model.

        `/v1/queue/bytedance/seedance-2.0-relay/reference-to-video`.
        """
        if method == "POST" and path.startswith(_QUEUE) and not path.startswith(_REQUESTS):
            return path.removeprefix(_QUEUE)
        return super().model_of(method, path, fields)

    def enrolment(self, wanted: Enrolment) -> NativeCall | Refusal:
        """An Ark asset; Sunra knows no groups of verified people."""
        if wanted.group_id is not None:
            message = "group_id: Sunra has no verified people; leave it out, or enrol elsewhere"
            return Refusal("field_not_supported", message)
        body = {"source_url": wanted.image_url, "name": wanted.name, "asset_type": "image"}
        return NativeCall("POST", _ASSETS, body)

    def portrait_poll(self, id_: str) -> NativeCall:
        """Get asset, which asks upstream."""
        return NativeCall("GET", f"{_ASSETS}/{segment(id_)}")

    def portrait_removal(self, id_: str) -> NativeCall:
        """Delete asset, from the organization's list."""
        return NativeCall("DELETE", f"{_ASSETS}/{segment(id_)}")

    def likeness(self, answer: JsonObject) -> Likeness | None:
        """An asset, as creating and getting it answer."""
        id_, status = answer.get("ark_asset_id"), answer.get("status")
        known = isinstance(id_, str) and id_ and isinstance(status, str)
        return Likeness(str(id_), str(status)) if known else None

    def given_out(
        self, method: str, path: str, fields: JsonObject, answer: JsonObject
    ) -> tuple[GivenOut, ...]:
        """An asset (`cgt-…`), or a prediction (`pd_…`) with its status URL."""
        if method == "POST" and path == _ASSETS and isinstance(answer.get("ark_asset_id"), str):
            return (GivenOut("asset", answer["ark_asset_id"]),)
        model = self.model_of(method, path, fields)
        if model is not None and isinstance(answer.get("request_id"), str):
            url = answer.get("status_url")
            return (
                GivenOut("job", answer["request_id"], model, url if isinstance(url, str) else ""),
            )
        return ()

    def video_call(self, request: VideoRequest, extra: Collection[str]) -> NativeCall | Refusal:
        """A submission to the queue, or what it cannot express."""
        return sunra_videos.call(request, extra)

    def video_poll(self, job: str) -> NativeCall:
        """The prediction's status."""
        return sunra_videos.poll(job)

    def video_result(self, job: str) -> NativeCall | None:
        """The prediction's result: its status does not say where the video is."""
        return sunra_videos.result(job)

    def video_progress(self, http_status: int, answer: JsonObject) -> VideoProgress | None:
        """How far a prediction is."""
        return sunra_videos.progress(http_status, answer)

    def video_outcome(self, http_status: int, answer: JsonObject) -> VideoProgress:
        """What came of a prediction."""
        return sunra_videos.outcome(http_status, answer)


SUNRA: Final = Sunra()
