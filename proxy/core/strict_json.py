"""JSON from a stranger: one meaning or none.

A text whose meaning depends on who reads it (a key twice, NaN) can show one price to the check and
another to the signer, one that cannot be written again as it was read (half a surrogate pair, a
number past every float) cannot be echoed, and deep nesting costs whoever walks it. Such texts are
refused as a whole.
"""

import json
from math import isfinite
from typing import Any, Final, NoReturn

DEPTH_MAX: Final = 16
"""A challenge nests five or six levels deep.

Extensions carry JSON schemas, which need some more.
"""


class NotStrictJson(ValueError):  # noqa: N818 - it names what the text is not
    """The text is not JSON with exactly one meaning.

    The message says why and quotes nothing of it.
    """


class NoJson(NotStrictJson):
    """The text is no JSON to anybody.

    Neither is it one that stands before something else, nor one whose characters are unknown.
    """


def loads(data: bytes | str, *, depth_max: int = DEPTH_MAX, halves: bool = False) -> Any:  # noqa: ANN401 - JSON is any of its types
    """Parse UTF-8 JSON.

    NotStrictJson for duplicate keys, NaN and infinities, half surrogate pairs (unless `halves`:
    for texts that are not echoed), nesting past `depth_max`, or no JSON at all.
    """
    try:
        text = data.decode() if isinstance(data, bytes) else data
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except NotStrictJson:
        raise
    except RecursionError:
        raise NotStrictJson(f"nested deeper than {depth_max} levels") from None
    except ValueError as problem:
        # Some readers stop at the end of the first value, and never see what comes after it.
        is_none = isinstance(problem, json.JSONDecodeError) and problem.msg != "Extra data"
        raise (NoJson if is_none else NotStrictJson)("not valid JSON in UTF-8") from None
    if not _within(value, depth_max):
        raise NotStrictJson(f"nested deeper than {depth_max} levels")
    if not halves and "\\" in text and not _writable(value):
        raise NotStrictJson("half a surrogate pair is no character")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise NotStrictJson("an object has the same key twice")
    return unique


def _refuse_constant(_name: str) -> NoReturn:
    raise NotStrictJson("NaN and infinities are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise NotStrictJson("a number is past every float")
    return number


def _writable(value: object) -> bool:
    """Whether all strings are text: half a surrogate pair can be escaped and not be encoded."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _within(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        children: Any = value.values()
    elif isinstance(value, list):
        children = value
    else:
        return True
    return levels > 0 and all(_within(child, levels - 1) for child in children)
