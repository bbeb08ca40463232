"""Videos in the common shape: BlockRun's fields in, BlockRun's answers out.

A request is read strictly: a field of the wrong type, and one that BlockRun does not document, is
refused by its name, so nothing that a client wrote can be dropped on the way to another provider.
What a provider cannot express is refused later, where that provider is known.

An answer has the provider's own id, its state in BlockRun's words, and under `provider_response`
what the provider really said.

Source: BlockRun's public documentation of `/v1/videos/generations`; the kinds of references and the
way ids of assets are written (`asset://…`) are Sunra's and PomexAI's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import quote

from proxy.core.errors import Refusal
from proxy.core.paths import JOBS

ASSET: Final = "asset://"
SECONDS_AUTO: Final = -1
"""The duration that leaves it to the model."""

PROMPT_CHARS_MAX: Final = 1_048_576
"""Far more than any model reads. Pointers are looked for in a prompt, which takes its time."""

_NAME_CHARS_MAX: Final = 64
"""How much of an unknown field's name a refusal repeats; BlockRun's own are below 21."""

RefKind = Literal["image", "video", "audio"]
Status = Literal["queued", "in_progress", "completed", "failed"]

LISTS: Final[dict[RefKind, str]] = {
    "image": "reference_image_urls",
    "video": "reference_videos",
    "audio": "reference_audios",
}
"""The fields that hold references, in the order in which a request keeps them."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A picture, clip or sound that the video is to follow: a URL, or `asset://ID`.

    `field` is the field that named it, for refusals.
    """

    kind: RefKind
    url: str
    field: str = ""

    @property
    def given_as(self) -> str:
        """The field that named it; the usual one of its kind where nobody said."""
        return self.field or LISTS[self.kind]


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """A request in BlockRun's fields, found well formed. None: not given.

    An asset that was given as `real_face_asset_id` is the first of the references, and an image.
    `duration_s` may be `SECONDS_AUTO`; its limits are each provider's own.
    """

    model: str | None
    prompt: str
    references: tuple[Reference, ...] = ()
    first_frame: str | None = None
    last_frame: str | None = None
    duration_s: int | None = None
    resolution: str | None = None
    ratio: str | None = None
    audio: bool | None = None
    seed: int | None = None
    watermark: bool | None = None
    return_last_frame: bool | None = None
    input_type: str | None = None

    def of_kind(self, kind: RefKind) -> tuple[Reference, ...]:
        """The references of one kind, in the order in which a prompt counts them."""
        return tuple(each for each in self.references if each.kind == kind)


@dataclass(frozen=True, slots=True)
class VideoProgress:
    """How far a video is, in BlockRun's words.

    `url` is known of completed ones whose answer names it, `error` says why one failed.
    """

    status: Status
    url: str | None = None
    error: str | None = None
    duration_s: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("completed", "failed")

    def concluded(self, outcome: "VideoProgress") -> "VideoProgress":
        """What a final state and its result say together; a failure stays one."""
        if self.status == "failed":
            return replace(self, error=outcome.error or self.error)
        return outcome


def read_video(fields: Mapping[str, Any]) -> VideoRequest | Refusal:
    """Read a body in BlockRun's fields; the refusal names the field."""
    problem = next(_problems(fields), None)
    if problem is not None:
        return problem
    return VideoRequest(
        model=fields.get("model"),
        prompt=fields["prompt"],
        references=tuple(_references(fields)),
        first_frame=fields.get("image_url"),
        last_frame=fields.get("last_frame_url"),
        duration_s=fields.get("duration_seconds"),
        resolution=fields.get("resolution"),
        ratio=fields.get("aspect_ratio"),
        audio=fields.get("generate_audio"),
        seed=fields.get("seed"),
        watermark=fields.get("watermark"),
        return_last_frame=fields.get("return_last_frame"),
        input_type=fields.get("input_type"),
    )


def with_usual_model(
    method: str, path: str, fields: Mapping[str, Any], model: str | None
) -> Mapping[str, Any]:
    """A submission that names no model, with its provider's usual one; any other as it is."""
    is_bare = (method, path) == ("POST", JOBS) and bool(fields) and "model" not in fields
    return {**fields, "model": model} if is_bare and model is not None else fields


def accepted(
    job: str,
    model: str | None,
    progress: VideoProgress,
    provider: str,
    raw: object,
    duration_s: int | None = None,
) -> dict[str, Any]:
    """BlockRun's 202, for a video that is not finished; a model that nobody knows is left out."""
    answer = _opening(job, model, progress.status)
    seconds = progress.duration_s or duration_s
    if seconds is not None and seconds > 0:
        answer["duration_seconds"] = seconds
    answer["poll_url"] = f"{JOBS}/{segment(job)}"
    return answer | {"provider": provider, "provider_response": raw}


def finished(
    job: str,
    model: str | None,
    progress: VideoProgress,
    provider: str,
    raw: object,
    duration_s: int | None = None,
) -> dict[str, Any]:
    """BlockRun's 200, for a video that is completed or failed.

    `data` is empty where the provider says completed and names no video: `provider_response` has
    what there is, and a second purchase would not help.
    """
    answer = _opening(job, model, progress.status)
    if progress.status == "failed":
        answer["error"] = progress.error or "the provider gives no reason"
    else:
        answer["data"] = _data(job, progress, duration_s)
    return answer | {"provider": provider, "provider_response": raw}


def clip_url(answer: object) -> str | None:
    """The link that a final answer has for its first clip; None where it names none."""
    match answer:
        case {"status": "completed", "data": [{"url": str(url)}, *_]} if url:
            return url
    return None


def segment(id_: str) -> str:
    """An id as one segment of a path, whatever is in it.

    What would be no segment at all becomes one that names nothing: nobody gives out such ids.
    """
    return "_" if id_ in ("", ".", "..") else quote(id_, safe="", errors="surrogatepass")


def _opening(job: str, model: str | None, status: Status) -> dict[str, Any]:
    answer = {"id": job, "object": "video.generation.job", "status": status}
    return answer | {"model": model} if model else answer


def _data(job: str, progress: VideoProgress, duration_s: int | None) -> list[dict[str, Any]]:
    if progress.url is None:
        return []
    video: dict[str, Any] = {"url": progress.url, "request_id": job}
    seconds = progress.duration_s or duration_s
    if seconds is not None and seconds > 0:
        video["duration_seconds"] = seconds
    return [video]


def _problems(fields: Mapping[str, Any]) -> Iterator[Refusal]:
    for name, value in fields.items():
        known = _FIELDS.get(name)
        if known is None:
            message = f"{ascii(name)[:_NAME_CHARS_MAX]}: no field of {JOBS}: known are "
            yield Refusal("field_not_supported", message + ", ".join(_FIELDS))
        elif not known[0](value):
            yield Refusal("bad_request", f"{name}: expected {known[1]}")
    if "prompt" not in fields:
        yield Refusal("bad_request", f"prompt: expected {_FIELDS['prompt'][1]}")
    if "image_url" in fields and "real_face_asset_id" in fields:
        yield Refusal("bad_request", "image_url, real_face_asset_id: give one of the two")


def _references(fields: Mapping[str, Any]) -> Iterator[Reference]:
    if "real_face_asset_id" in fields:
        asset = fields["real_face_asset_id"].removeprefix(ASSET)
        yield Reference("image", ASSET + asset, "real_face_asset_id")
    for kind, name in LISTS.items():
        for url in fields.get(name, ()):
            yield Reference(kind, url, name)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_prompt(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= PROMPT_CHARS_MAX


def _is_asset(value: object) -> bool:
    return isinstance(value, str) and bool(value.removeprefix(ASSET))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(each) for each in value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_Check = tuple[Callable[[object], bool], str]
_TEXT: Final[_Check] = (_is_text, "a string that is not empty")
_TEXTS: Final[_Check] = (_are_texts, "a list of strings, none of them empty")
_WHOLE: Final[_Check] = (_is_whole, "a whole number")
_FLAG: Final[_Check] = (_is_flag, "true or false")
_FIELDS: Final[dict[str, _Check]] = {
    "model": _TEXT,
    "prompt": (_is_prompt, f"a string of 1 to {PROMPT_CHARS_MAX} characters"),
    "image_url": _TEXT,
    "real_face_asset_id": (_is_asset, "an asset's id"),
    "last_frame_url": _TEXT,
    **dict.fromkeys(LISTS.values(), _TEXTS),
    "input_type": _TEXT,
    "duration_seconds": _WHOLE,
    "resolution": _TEXT,
    "aspect_ratio": _TEXT,
    "generate_audio": _FLAG,
    "seed": _WHOLE,
    "watermark": _FLAG,
    "return_last_frame": _FLAG,
}
