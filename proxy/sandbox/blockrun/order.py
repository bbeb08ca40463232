"""What a video request asks for, and its price: duration x rate x resolution factor."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from proxy.sandbox.blockrun.portraits import COMPATIBLE
from proxy.sandbox.wire import Json

RATES: Final[dict[str, int]] = {
    "azure/sora-2": 100_000,
    "xai/grok-imagine-video": 50_000,
    "xai/grok-imagine-video-1.5": 60_000,
    "bytedance/seedance-1.5-pro": 40_000,
    "bytedance/seedance-2.0": 150_000,
    "bytedance/seedance-2.0-fast": 90_000,
    "bytedance/seedance-2.0-mini": 50_000,
    "bytedance/seedance-2.5": 200_000,
}
"""Smallest units for a second at 720p. Made up: real prices change, and only the 402 knows them."""

FACTORS: Final = {"480p": Fraction(1, 2), "720p": Fraction(1), "1080p": Fraction(9, 4)}
SECONDS: Final = range(1, 16)
SECONDS_DEFAULT: Final = 5

_FACE = re.compile(r"ta_[0-9A-Za-z]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Order:
    """A video request, found valid."""

    model: str
    prompt: str
    seconds: int
    resolution: str

    def price(self) -> int:
        """The price in smallest units."""
        return ceil(RATES[self.model] * self.seconds * FACTORS[self.resolution])


def parse_order(body: Json | None) -> Order | str:
    """Read a video request, or say what is wrong with it."""
    if body is None:
        return "the body must be a JSON object"
    wrong = next((key for key in body if not _fits(key, body[key])), None)
    if wrong is not None:
        return f"{wrong}: {body[wrong]!r} is not allowed"
    model, prompt = body.get("model"), body.get("prompt")
    if model not in RATES or not prompt:
        return f"unknown model: {model!r}" if prompt else "prompt is required"
    problem = _face_problem(body)
    if problem is not None:
        return problem
    seconds = body.get("duration_seconds", SECONDS_DEFAULT)
    assert isinstance(seconds, int)  # noqa: S101 - checked above
    return Order(str(model), str(prompt), seconds, str(body.get("resolution", "720p")))


def _face_problem(body: Json) -> str | None:
    if body.get("real_face_asset_id") is None:
        return None
    if body.get("image_url") is not None:
        return "image_url and real_face_asset_id exclude each other"
    if body.get("model") not in COMPATIBLE:
        return f"real_face_asset_id works with {' and '.join(COMPATIBLE)} only"
    return None


def _fits(key: str, value: object) -> bool:
    """Whether a field has a value that it may have; fields that nobody knows are let through."""
    check = _FIELDS.get(key)
    return check is None or check(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://"))


def _are_urls(value: object) -> bool:
    return isinstance(value, list) and all(_is_url(item) for item in value)


_FIELDS: Final[dict[str, Callable[[object], bool]]] = {
    "model": _is_text,
    "prompt": _is_text,
    "image_url": _is_url,
    "real_face_asset_id": lambda value: isinstance(value, str) and bool(_FACE.fullmatch(value)),
    "last_frame_url": _is_url,
    "reference_image_urls": _are_urls,
    "reference_videos": _are_urls,
    "reference_audios": _are_urls,
    "input_type": _is_text,
    "duration_seconds": lambda value: _is_whole(value) and value in SECONDS,
    "resolution": lambda value: isinstance(value, str) and value in FACTORS,
    "aspect_ratio": _is_text,
    "generate_audio": _is_flag,
    "seed": _is_whole,
    "watermark": _is_flag,
    "return_last_frame": _is_flag,
}
