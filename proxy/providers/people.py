"""Reading what providers say of real people: strangers' JSON, and a stranger's query.

Nothing here raises, and nothing trusts the type or the size of what it finds.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

LINK_CHARS_MAX: Final = 2000
"""What browsers take, and what a QR code holds at a level that a camera forgives."""

SECONDS_MAX: Final = 86_400
"""No link for a phone lives for longer than a day, whatever an answer says."""

PARAMETERS_MAX: Final = 32
"""The document names five parameters of a callback."""

SUCCESS: Final = "10000"
_RECORDING: Final = "pre_record"
_CODE_CHARS_MAX: Final = 40
_GROUP: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._:-]+", re.ASCII)
_LINK: Final = re.compile(r"https?://[!-~]+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a scan ended: the verified person's group, or the reason why there is none."""

    group_id: str | None
    reason: str = ""


def link(value: object) -> str | None:
    """A link that a phone can open."""
    if not isinstance(value, str) or len(value) > LINK_CHARS_MAX or not _LINK.fullmatch(value):
        return None
    try:
        return value if urlsplit(value).hostname else None
    except ValueError:
        return None


def group(value: object) -> str | None:
    """The id of a person's group."""
    return value if isinstance(value, str) and _GROUP.fullmatch(value) else None


def seconds(value: object, usual_s: int) -> int:
    """How long a link lives."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= SECONDS_MAX:
        return value
    return usual_s


def verdict(query: str | None) -> Verdict | None:
    """Read the query of PomexAI's redirect; None for one that is no result.

    A group counts only beside a code that is exactly the documented one, and not for a recording,
    whose group the document calls unusable. A parameter that is there twice says nothing: whoever
    reads it could take either.
    """
    try:
        pairs = parse_qsl(query or "", keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        return None
    said = dict(pairs)
    code = said.get("resultCode", "")
    if len(said) != len(pairs) or not code:
        return None
    if code != SUCCESS:
        detail = _safe(said.get("algorithmBaseRespCode", ""))
        return Verdict(None, f"result {_safe(code)}" + (f", detail {detail}" if detail else ""))
    if said.get("verify_type", "").strip().lower() == _RECORDING:
        return Verdict(None, "the scan was a recording, and a live one is needed")
    group_id = group(said.get("group_id"))
    return None if group_id is None else Verdict(group_id)


def _safe(code: str) -> str:
    """A code as it may be shown anywhere."""
    return _UNSAFE.sub("?", code[:_CODE_CHARS_MAX])
