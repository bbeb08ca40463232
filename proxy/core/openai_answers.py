"""Common answers about videos in OpenAI's shape.

An answer holds what is known and leaves out the rest: a duration or a size that nobody named is not
made up. `progress` is the provider's own number where it gives one, else 0 in the queue, 50 while
the clip is made and 100 when it is over, whichever way.

Source: OpenAI's Videos API as its Python client (3.x) speaks it: GET `/v1/videos` and below.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from proxy.core.cliplinks import is_too_long
from proxy.core.openai_requests import Asked, is_number, seconds_text
from proxy.core.videos import clip_url

ERROR_CODE: Final = "generation_failed"
"""Why a video failed, where the provider names no code of its own."""
ERROR_CHARS_MAX: Final = 1000

_OVER: Final = 100
_PROGRESS: Final = {"queued": 0, "in_progress": 50, "completed": _OVER, "failed": _OVER}


def video(
    job: str,
    answer: Mapping[str, Any],
    *,
    model: str | None = None,
    created_at: int | None = None,
    asked: Asked | None = None,
) -> dict[str, Any] | None:
    """A video by a common answer; None for an answer that says nothing of one."""
    status = answer.get("status")
    if not is_status(status):
        return None
    said = answer.get("model")
    wanted = None if asked is None else asked.fields.get("model")
    found = {
        "id": job,
        "object": "video",
        "model": next((m for m in (said, model, wanted) if isinstance(m, str) and m), None),
        "status": status,
        "progress": _progress(status, answer),
        "created_at": created_at,
        "seconds": _duration(asked, answer),
        "size": None if asked is None else asked.size,
        "prompt": None if asked is None else asked.prompt,
        "error": _error(answer.get("error")) if status == "failed" else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def is_status(value: object) -> TypeGuard[str]:
    """Whether something is the name of a state in which a video can be."""
    return isinstance(value, str) and value in _PROGRESS


def remembered(state: str, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """A job's last answer, or what stands for one where only its state was kept."""
    if is_status(answer.get("status")):
        return answer
    return {"status": state if is_status(state) else "in_progress" if state else "queued"}


def listed(videos: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page of videos."""
    ends = (videos[0]["id"], videos[-1]["id"]) if videos else (None, None)
    return {
        "object": "list",
        "data": videos,
        "first_id": ends[0],
        "last_id": ends[1],
        "has_more": has_more,
    }


def clip_link(answer: Mapping[str, Any]) -> str | None:
    """The link to a finished clip, where it is one that a client can follow."""
    url = clip_url(answer) or ""
    is_web = url.lower().startswith(("https://", "http://"))
    return url if is_web and not is_too_long(url) else None


def _first(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    data = answer.get("data")
    first = data[0] if isinstance(data, list) and data else None
    return first if isinstance(first, Mapping) else {}


def _progress(status: str, answer: Mapping[str, Any]) -> int:
    """How far a video is, in percent."""
    raw = answer.get("provider_response")
    said = [answer.get("progress"), raw.get("progress") if isinstance(raw, Mapping) else None]
    known = (int(n) for n in said if is_number(n) and 0 <= n <= _OVER)
    return next(known, _PROGRESS[status]) if status == "in_progress" else _PROGRESS[status]


def _duration(asked: Asked | None, answer: Mapping[str, Any]) -> str | None:
    """How long a clip is: as asked for, else as the answer says."""
    said = (answer.get("duration_seconds"), _first(answer).get("duration_seconds"))
    known = (None if asked is None else asked.seconds, *(seconds_text(each) for each in said))
    return next((each for each in known if each is not None), None)


def _error(error: object) -> dict[str, str]:
    """Why a video failed, in the shape of OpenAI's `error`."""
    if isinstance(error, Mapping):
        code, message = error.get("code") or error.get("type"), error.get("message")
    else:
        code, message = None, error
    return {
        "code": _words(code) or ERROR_CODE,
        "message": _words(message) or "the provider gives no reason",
    }


def _words(value: object) -> str:
    return value[:ERROR_CHARS_MAX] if isinstance(value, str) else ""
