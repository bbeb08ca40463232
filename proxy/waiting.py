"""Waiting for what takes long: for how long a client would, and how often a provider is asked."""

import re
from dataclasses import dataclass
from random import SystemRandom
from typing import Final

from proxy.core.http import Headers, Request, get, get_all

WAIT_S: Final = 900
"""How long a submission waits for its clip where the client does not say."""

PACE_S: Final = 5.0
JITTER: Final = 0.2
"""How often where the provider does not say, and by which part of it more or less."""

_WAIT: Final = re.compile(r"wait=([0-9]{1,6})", re.ASCII)
_DIGITS: Final = re.compile(rb"[0-9]{1,9}")
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Preference:
    """What the client's `Prefer` header asks for (RFC 7240).

    `wait_s` is None where it does not say.
    """

    respond_async: bool = False
    wait_s: int | None = None


def preference(request: Request) -> Preference:
    """Read `Prefer`: `respond-async` and `wait=N`; anything else in it is for the provider."""
    words = [
        word.strip().lower()
        for value in get_all(request.headers, b"prefer")
        for word in value.decode("latin-1").split(",")
    ]
    waits = [int(match[1]) for word in words if (match := _WAIT.fullmatch(word))]
    return Preference("respond-async" in words, waits[0] if waits else None)


def pace_between_s(headers: Headers) -> float:
    """How long to wait before the next poll.

    What the provider says, from a second up, else five with some jitter.
    """
    said = get(headers, b"retry-after")
    if said is not None and _DIGITS.fullmatch(said.strip()):
        return float(max(1, min(int(said), WAIT_S)))
    return PACE_S * (1 + JITTER * (2 * _random.random() - 1))
