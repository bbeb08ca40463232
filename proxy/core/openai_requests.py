"""What OpenAI's calls for videos ask: its fields as those of the common shape.

What OpenAI documents (`seconds`, `size`, `input_reference`) is written in BlockRun's words; any
other field is taken to be one of the common shape and keeps its name. What has no word there is
refused by its own name, and what is said twice is refused too: nothing that a client wrote is
dropped, or decided for it.

Source: OpenAI's Videos API as its Python client (3.x) speaks it: POST, GET `/v1/videos` and below.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeGuard
from urllib.parse import unquote

from proxy.core import strict_json
from proxy.core.config import AUTO, Config
from proxy.core.errors import Refusal
from proxy.core.paths import JOBS, VIDEOS
from proxy.core.routing import find_route

NAME_CHARS_MAX: Final = 64
"""How much of a field's name a refusal repeats."""
LIST_MAX: Final = 100
LIST_DEFAULT: Final = 20
"""OpenAI's own bounds for one page."""
WHOLE: Final = ("duration_seconds", "seed")
FLAGS: Final = ("generate_audio", "watermark", "return_last_frame")
"""The fields of the common shape that a form has to be read for: any other is text."""

_READING: Final = ("GET", "HEAD")
_SERVED: Final = (
    f"served here are POST and GET {VIDEOS}, GET {VIDEOS}/{{id}} and GET {VIDEOS}/{{id}}/content"
)
_SIDES: Final = (480, 720, 1080)
_SIDE_PERCENT: Final = 6
"""How far a short side may be from a resolution's: OpenAI's own 1024x1792 is 5 % below 1080p."""
_RATIOS: Final = ((21, 9), (16, 9), (4, 3), (1, 1), (3, 4), (9, 16))
_RATIO_PERCENT: Final = 3
"""How far a size may be from a ratio; the neighbours are 25 % apart and more."""
_SIZE: Final = re.compile(r"([0-9]{2,5})x([0-9]{2,5})", re.ASCII)
_SECONDS: Final = re.compile(r"0*[1-9][0-9]{0,4}", re.ASCII)
_SECONDS_MAX: Final = 99_999
"""Five digits are more than any clip; each provider has limits of its own."""
_INTEGER: Final = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_NAME: Final = re.compile(r"([A-Za-z0-9_-]+)(\[\]|\[([A-Za-z0-9_-]+)\])?", re.ASCII)
_REFERENCE: Final = "input_reference"
_GIVE_URL: Final = f'{_REFERENCE}: give {{"image_url": "https://…"}}'
_OURS: Final = ("seconds", "size", _REFERENCE)

What = Literal["create", "list", "show", "content"]


@dataclass(frozen=True, slots=True)
class Call:
    """One of the calls of this shape; `job` is the id that it names."""

    what: What
    job: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A video that is asked for: `fields` are the common shape's.

    `sources` says for a field which of OpenAI's it was written from; the others are what the answer
    repeats.
    """

    fields: Mapping[str, Any]
    sources: Mapping[str, str]
    seconds: str | None = None
    size: str | None = None

    @property
    def prompt(self) -> str | None:
        """What the video is to show, where that was said."""
        prompt = self.fields.get("prompt")
        return prompt if isinstance(prompt, str) else None

    def explained(self, refusal: Refusal) -> Refusal:
        """Have a refusal that names a field of the common shape name the client's own too."""
        said = refusal.message
        named = [f"{new} is written from {old}" for new, old in self.sources.items() if new in said]
        if refusal.code not in ("field_not_supported", "bad_request") or not named:
            return refusal
        return replace(refusal, message=f"{said} ({', '.join(named)})")


@dataclass(frozen=True, slots=True)
class Page:
    """Which videos a list is to show."""

    limit: int = LIST_DEFAULT
    after: str | None = None
    newest_first: bool = True


def read_call(method: str, path: str) -> Call | Refusal | None:
    """Which call a request makes; None for what is none of this shape.

    Refused for those of OpenAI's that nobody can serve here.
    """
    if path == VIDEOS:
        return _among({"POST": Call("create"), **dict.fromkeys(_READING, Call("list"))}, method)
    below = path.removeprefix(f"{VIDEOS}/")
    first, slash, rest = below.partition("/")
    if below == path or first in ("", JOBS.rpartition("/")[2]):
        return None
    job = unquote(first)
    if not slash:
        return _among(dict.fromkeys(_READING, Call("show", job)), method)
    if rest == "content":
        return _among(dict.fromkeys(_READING, Call("content", job)), method)
    if rest == "remix" or (first == "characters" and rest and "/" not in rest):
        return _among({}, method)
    return None


def is_adapted(config: Config, path: str) -> bool:
    """Whether a path is this daemon's to answer, and on one route with the common path.

    A route of its own has its own provider, caps and methods, which the common path's does not.
    """
    route, common = (find_route(config, each) for each in (path, JOBS))
    if isinstance(route, Refusal) or route is not common:
        return False
    return route.provider == AUTO or config.providers[route.provider].kind != "http"


def form_fields(pairs: Iterable[tuple[str, str]]) -> dict[str, Any] | Refusal:
    """The fields of a form: `name`, `name[]` for each member of a list, `input_reference[name]`."""
    fields: dict[str, Any] = {}
    for name, text in pairs:
        match = _NAME.fullmatch(name)
        if match is None or (match[3] and match[1] != _REFERENCE):
            return _unsupported(name, "no field of a form here; a list is written name[]")
        if not _put(fields, match[1], match[2] or "", match[3] or "", text):
            return Refusal("bad_request", f"{_shown(name)}: given twice, or in two ways")
    return _typed(fields)


def unsupported_upload(name: str) -> Refusal:
    """Refuse an uploaded file."""
    if name == _REFERENCE:
        return Refusal("field_not_supported", f"{_GIVE_URL}; a file is not taken here")
    return _unsupported(name, "a file is not taken here: give a URL")


def read_create(fields: Mapping[str, Any]) -> Asked | Refusal:
    """Read a request to make a video; the refusal names the field."""
    common = {name: value for name, value in fields.items() if name not in _OURS}
    sources: dict[str, str] = {}
    for name, read in _READ.items():
        value = fields.get(name)
        if value is None:
            continue
        written = read(value)
        if isinstance(written, Refusal):
            return written
        twice = next((each for each in written if each in common), None)
        if twice is not None:
            return Refusal("bad_request", f"{name}, {twice}: give one of the two")
        common |= written
        sources |= dict.fromkeys(written, name)
    size = fields.get("size")
    asked_s = seconds_text(common.get("duration_seconds"))
    return Asked(common, sources, asked_s, size if isinstance(size, str) else None)


def read_page(query: Mapping[str, str]) -> Page | Refusal:
    """Read which videos a list is to show."""
    limit, order = query.get("limit", str(LIST_DEFAULT)), query.get("order", "desc")
    if not re.fullmatch("[0-9]{1,3}", limit, re.ASCII) or not 0 < int(limit) <= LIST_MAX:
        return Refusal("bad_request", f"limit is a number from 1 to {LIST_MAX}")
    if order not in ("asc", "desc"):
        return Refusal("bad_request", "order is asc or desc")
    return Page(int(limit), query.get("after"), order == "desc")


def seconds_text(value: object) -> str | None:
    """A number of seconds in OpenAI's way of writing; None for what is none."""
    return f"{value:g}" if is_number(value) and 0 < value <= _SECONDS_MAX else None


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _among(served: Mapping[str, Call], method: str) -> Call | Refusal:
    refusal = Refusal("method_not_allowed", _SERVED, allow=tuple(served))
    return served.get(method, refusal)


def _put(fields: dict[str, Any], name: str, suffix: str, member: str, text: str) -> bool:
    """Enter one value of a form; False where it contradicts what stands there."""
    if not suffix:
        is_new = name not in fields
        fields.setdefault(name, text)
        return is_new
    held = fields.setdefault(name, {} if member else [])
    if not member and isinstance(held, list):
        held.append(text)
        return True
    if not member or not isinstance(held, dict) or member in held:
        return False
    held[member] = text
    return True


def _typed(fields: dict[str, Any]) -> dict[str, Any] | Refusal:
    """Read what a form can only say as text."""
    for name in (*WHOLE, *FLAGS, _REFERENCE):
        text = fields.get(name)
        if not isinstance(text, str):
            continue
        value = _value(name, text)
        if value is None:
            kind = {_REFERENCE: "a JSON object"} | dict.fromkeys(WHOLE, "a whole number")
            return Refusal("bad_request", f"{name}: expected {kind.get(name, 'true or false')}")
        fields[name] = value
    return fields


def _value(name: str, text: str) -> object:
    if name in WHOLE:
        return int(text) if _INTEGER.fullmatch(text) else None
    if name in FLAGS:
        return {"true": True, "false": False}.get(text)
    try:
        value = strict_json.loads(text)
    except strict_json.NotStrictJson:
        return None
    return value if isinstance(value, dict) else None


def _read_seconds(value: object) -> dict[str, Any] | Refusal:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _SECONDS.fullmatch(text):
        return Refusal("bad_request", f"seconds: expected a whole number, 1 to {_SECONDS_MAX}")
    return {"duration_seconds": int(text)}


def _read_size(value: object) -> dict[str, Any] | Refusal:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        message = "size: expected WIDTHxHEIGHT, two to five digits each, such as 1280x720"
        return Refusal("bad_request", message)
    width, height = int(match[1]), int(match[2])
    short = min(width, height)
    sides = [s for s in _SIDES if abs(short - s) * 100 <= _SIDE_PERCENT * s]
    ratios = [
        (a, b)
        for a, b in _RATIOS
        if abs(width * b - height * a) * 100 <= _RATIO_PERCENT * height * a
    ]
    if not sides or not ratios:
        known = ", ".join(f"{a}:{b}" for a, b in _RATIOS)
        message = (
            f"size: {match[0]} is no 480p, 720p or 1080p at {known};"
            " resolution and aspect_ratio say what the provider knows besides"
        )
        return Refusal("field_not_supported", message)
    (a, b) = ratios[0]
    return {"resolution": f"{sides[0]}p", "aspect_ratio": f"{a}:{b}"}


def _read_reference(value: object) -> dict[str, Any] | Refusal:
    if not isinstance(value, Mapping):
        return Refusal("bad_request", _GIVE_URL)
    others = [name for name in value if name != "image_url" and value[name] is not None]
    if others:
        message = f"{_GIVE_URL}; {_shown(others[0])} is not known here"
        return Refusal("field_not_supported", message)
    url = value.get("image_url")
    if not isinstance(url, str):
        return Refusal("bad_request", _GIVE_URL)
    if not url.lower().startswith(("https://", "http://")):
        return Refusal("field_not_supported", f"{_GIVE_URL}; this is another kind of URL")
    return {"image_url": url}


_READ: Final[dict[str, Callable[[object], dict[str, Any] | Refusal]]] = {
    "seconds": _read_seconds,
    "size": _read_size,
    _REFERENCE: _read_reference,
}


def _unsupported(name: str, why: str) -> Refusal:
    return Refusal("field_not_supported", f"{_shown(name)}: {why}")


def _shown(name: object) -> str:
    is_plain = isinstance(name, str) and _NAME.fullmatch(name) is not None
    return (str(name) if is_plain else ascii(name))[:NAME_CHARS_MAX]
