"""Reading a provider's answers about a video: strangers' JSON, in which anything may stand.

Nothing here raises, and nothing trusts the type of what it finds.
"""

from collections.abc import Mapping
from typing import Any, Final

from proxy.core.videos import Status, VideoProgress

OK: Final = 200
_RUNNING: Final = (200, 202)
"""A status is read from these; anything else is trouble, and says nothing about the video."""

ERROR_CHARS_MAX: Final = 1000
"""How much of a provider's reason is repeated; all of it stands in its raw answer."""

_COMMON: Final[dict[str, Status]] = {
    "queued": "queued",
    "in_progress": "in_progress",
    "completed": "completed",
    "failed": "failed",
}


def common_progress(http_status: int, answer: Mapping[str, Any]) -> VideoProgress | None:
    """How far a video is by an answer in BlockRun's own shape."""
    status = state(http_status, answer, _COMMON)
    if status is None:
        return None
    data = answer.get("data")
    first = data[0] if isinstance(data, list) and data else None
    seconds = member(first, "duration_seconds")
    return VideoProgress(
        status,
        url=link(member(first, "url")) if status == "completed" else None,
        error=why(answer.get("error")) if status == "failed" else None,
        duration_s=seconds if isinstance(seconds, int) and not isinstance(seconds, bool) else None,
    )


def state(
    http_status: int, answer: Mapping[str, Any], words: Mapping[str, Status]
) -> Status | None:
    """BlockRun's word for the `status` of an answer; None where it has none that is known."""
    word = answer.get("status")
    return words.get(word) if isinstance(word, str) and http_status in _RUNNING else None


def member(value: object, name: str) -> object:
    """A member of an object; None of anything else."""
    return value.get(name) if isinstance(value, Mapping) else None


def link(value: object) -> str | None:
    """A link that a client may follow."""
    if isinstance(value, str) and value.lower().startswith(("https://", "http://")):
        return value
    return None


def why(error: object) -> str | None:
    """A failure in the provider's words: its code and its sentence, the details' before all."""
    if isinstance(error, str):
        return error[:ERROR_CHARS_MAX] or None
    details = member(error, "details")
    said = [*_words(details if isinstance(details, Mapping) else error)] or [*_words(error)]
    if isinstance(details, str):
        said.insert(0, details)
    return ": ".join(said)[:ERROR_CHARS_MAX] or None


def _words(error: object) -> list[str]:
    code = member(error, "code") or member(error, "type")
    return [each for each in (code, member(error, "message")) if isinstance(each, str) and each]
