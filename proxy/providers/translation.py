"""What translating a video request to another provider's call has in common.

Each field of the common shape has one name in the others' calls. A call carries those that the
provider's document lists, and those that the config's `extra_fields` adds; any other is refused by
its name, with the reason. How a prompt points at a reference differs too: Sunra reads `@Image1`,
PomexAI "image 1".
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from proxy.core.errors import Refusal
from proxy.core.videos import ASSET, RefKind, VideoRequest

_FOREIGN: Final = f"{ASSET}ta_"
"""How BlockRun's assets begin; no other provider knows them."""

_KIND: Final = "(image|video|audio)"
_MARK: Final = re.compile(rf"(?<!@)@++{_KIND} ?([1-9]\d?)(?!\w)", re.ASCII | re.IGNORECASE)
"""`@Image1`, and `@image 1`."""

_WORDS: Final = re.compile(
    rf"(?<!@)@*+\[{_KIND} ?([1-9]\d?)\](?=(\w)?)"
    rf"|(?<![\w@-]){_KIND} ([1-9]\d?)(?!\w|[-.,:/]\d|%)"
    rf"|@{_KIND} ?([1-9]\d?)(?!\w)",
    re.ASCII | re.IGNORECASE,
)
"""`[image 1]`, `image 1` and `@Image1`, but neither `image 1.5` nor `image 1:1`."""

_KINDS: Final[tuple[RefKind, ...]] = ("image", "video", "audio")


def options(request: VideoRequest) -> Iterator[tuple[str, str, Any]]:
    """The given options of a request: the field's name, the one it has elsewhere, the value."""
    for field, native, value in (
        ("resolution", "resolution", request.resolution),
        ("aspect_ratio", "ratio", request.ratio),
        ("duration_seconds", "duration", request.duration_s),
        ("generate_audio", "generate_audio", request.audio),
        ("seed", "seed", request.seed),
        ("watermark", "watermark", request.watermark),
        ("return_last_frame", "return_last_frame", request.return_last_frame),
        ("input_type", "input_type", request.input_type),
        ("image_url", "image_url", request.first_frame),
        ("last_frame_url", "last_frame_url", request.last_frame),
    ):
        if value is not None:
            yield field, native, value


def unlisted(
    request: VideoRequest, provider: str, listed: Collection[str], extra: Collection[str]
) -> Iterator[str]:
    """What is wrong with the options: those that neither the document nor the config lists."""
    for field, native, _ in options(request):
        if native not in listed and native not in extra:
            yield f"{field}: {provider}'s document lists no {native}{_way_out(field, native)}"


def carried(request: VideoRequest) -> dict[str, Any]:
    """The options under their names elsewhere."""
    return {native: value for _, native, value in options(request)}


def foreign(request: VideoRequest, provider: str) -> Iterator[str]:
    """What is wrong with the references: assets of BlockRun's."""
    for each in request.references:
        if each.url.startswith(_FOREIGN):
            yield f"{each.given_as}: ta_… is an asset of BlockRun's, and unknown to {provider}"


def not_supported(problems: Iterator[str]) -> Refusal | None:
    """The refusal that names every field that cannot be expressed; None where all can."""
    found = "; ".join(dict.fromkeys(problems))
    return Refusal("field_not_supported", found) if found else None


def no_model(provider: str) -> Refusal:
    """What a request without a model gets."""
    message = f"model: name one of {provider}'s, or give it a default_video_model in the config"
    return Refusal("bad_request", message)


def marked(prompt: str, request: VideoRequest) -> str:
    """A prompt that points at its references in Sunra's way, `@Image1`; the rest stays as it is.

    Only numbers that there are references for are pointers: "image 7" beside one image is prose.
    """
    counts = _counts(request)

    def mark(found: re.Match[str]) -> str:
        kind = (found[1] or found[4] or found[6]).lower()
        number = found[2] or found[5] or found[7]
        if int(number) > counts[kind]:
            return found[0]
        return f"@{kind.capitalize()}{number}{' ' if found[3] else ''}"

    return _WORDS.sub(mark, prompt)


def worded(prompt: str, request: VideoRequest) -> str:
    """A prompt that points at its references in PomexAI's way, "image 1"; the rest stays."""
    counts = _counts(request)

    def word(found: re.Match[str]) -> str:
        kind = found[1].lower()
        if int(found[2]) > counts[kind]:
            return found[0]
        before = found.string[found.start() - 1 : found.start()]
        return f"{' ' if before.isalnum() else ''}{kind} {found[2]}"

    return _MARK.sub(word, prompt)


def _counts(request: VideoRequest) -> Mapping[str, int]:
    return {kind: len(request.of_kind(kind)) for kind in _KINDS}


def _way_out(field: str, native: str) -> str:
    if field in ("image_url", "last_frame_url"):
        return " and takes no frames; reference_image_urls may hold a picture to follow"
    return f" (its extra_fields in the config may add {native})"
