"""What Sunra's Seedance models take, and how each kind of model treats a reference.

Relay models take assets and nothing else; the others go straight to Volcengine, which does not know
the assets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proxy.sandbox.wire import Json

_BASES: Final = ("bytedance/seedance-2.0", "bytedance/seedance-2.0-fast")
_ENDPOINTS: Final = ("text-to-video", "image-to-video", "reference-to-video")
MODELS: Final = frozenset(
    f"{base}{relay}/{endpoint}"
    for base in _BASES
    for relay in ("", "-relay")
    for endpoint in _ENDPOINTS
)

REFERENCES: Final = ("reference_images", "reference_videos", "reference_audios")
REFERENCES_MAX: Final = 9
RESOLUTIONS: Final = ("480p", "720p", "1080p")
SECONDS: Final = range(4, 16)
SECONDS_AUTO: Final = -1
ASSET: Final = "asset://"


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why an input is not taken: Sunra's code and a sentence."""

    code: str
    message: str


def check(model: str, body: Json, status_of: Callable[[str], str | None]) -> Wrong | None:
    """Judge an input; `status_of` knows the organization's assets."""
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        return Wrong("INVALID_INPUT", "prompt is required")
    wrong = next(
        (key for key, fits in _FIELDS.items() if key in body and not fits(body[key])), None
    )
    if wrong is not None:
        return Wrong("INVALID_INPUT", f"{wrong}: {body[wrong]!r} is not allowed")
    is_relay = "-relay/" in model
    for reference in _references(body):
        problem = _check_relayed(reference, status_of) if is_relay else _check_direct(reference)
        if problem is not None:
            return problem
    if model.endswith("/reference-to-video") and not _references(body):
        return Wrong("INVALID_INPUT", "at least one reference is required")
    return None


def _references(body: Json) -> list[str]:
    lists = (body.get(key) for key in REFERENCES)
    return [str(item) for found in lists if isinstance(found, list) for item in found]


def _check_relayed(reference: str, status_of: Callable[[str], str | None]) -> Wrong | None:
    if not reference.startswith(ASSET):
        return Wrong("INVALID_INPUT", "relay models take asset://<ark_asset_id>, not a URL")
    status = status_of(reference.removeprefix(ASSET))
    if status != "active":
        return Wrong("INVALID_INPUT", f"{reference} is {status or 'unknown'}, not active")
    return None


def _check_direct(reference: str) -> Wrong | None:
    if reference.startswith(ASSET):
        return Wrong("InvalidParameter", f"{reference} is not a valid URL")
    return None


def _are_references(value: object) -> bool:
    if not isinstance(value, list) or len(value) > REFERENCES_MAX:
        return False
    return all(isinstance(item, str) for item in value)


def _are_seconds(value: object) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and (value in SECONDS or value == SECONDS_AUTO)


_FIELDS: Final[dict[str, Callable[[object], bool]]] = {
    **dict.fromkeys(REFERENCES, _are_references),
    "resolution": lambda value: isinstance(value, str) and value in RESOLUTIONS,
    "ratio": lambda value: isinstance(value, str) and bool(value),
    "duration": _are_seconds,
    "generate_audio": lambda value: isinstance(value, bool),
}
