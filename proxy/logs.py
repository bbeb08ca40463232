"""The log: one line an event, for people on a terminal and as JSON elsewhere, with no secret in it.

structlog writes it, and what libraries say through `logging` takes the same way. The last step
before a line is written is `redact`: it blanks what is secret by its name, and what looks like a
key, a signature, a token or a payment wherever it stands, in tracebacks too. It is the second line
of defence; the first is not to log secrets. Tracebacks show no local variables.

Some of what is said are strangers' words: on a terminal, what it would obey is written out.
"""

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor

BLANK: Final = "[redacted]"
DEPTH_MAX: Final = 6
"""Deeper than this nothing of ours nests; what does is blanked whole."""

_SECRET_NAME: Final = re.compile(
    r"(?:.*_)?(?:authorization|cookie|key|mnemonic|passphrase|password|secret|seed|signature|token)"
    r"|(?:x_)?payment_(?:signature|header|payload)|x_payment"
)
_OF_LINES: Final = ("exception", "stack")
_PUBLIC_NAME: Final = re.compile(r"(?:.*_)?(?:digest|hash|nonce|sha256|tx)")
_ALWAYS: Final = (
    r"0x[0-9a-fA-F]{130,}"  # a signature
    r"|fbx_[A-Za-z0-9_-]+"  # a client's token
    r"|\bsk-[A-Za-z0-9_-]{16,}"  # the usual form of a provider's key
    r"|\bey[A-Za-z0-9+/_-]{16,}={0,2}(?:\.[A-Za-z0-9_-]+)*"  # base64 of JSON: a payment, a JWT
    r"|(?<=earer )[A-Za-z0-9._~+/=-]{8,}"  # what follows Bearer
)
_SECRET: Final = re.compile(_ALWAYS)
_SECRET_OR_HASH: Final = re.compile(
    rf"{_ALWAYS}|(?<![0-9a-fA-F])(?:0x)?[0-9a-fA-F]{{64,}}(?![0-9a-fA-F])"
)


def configure(
    level: str = "info", *, stream: TextIO | None = None, json: bool | None = None
) -> None:
    """Set up structlog and `logging`: to standard error, as JSON unless it is a terminal."""
    target = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    as_json = not target.isatty() if json is None else json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, _renderer(target, as_json=as_json)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared[:-2]],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *shared[-2:],
                _renderer(target, as_json=as_json),
            ],
        )
    )
    logging.captureWarnings(capture=True)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)


def redact(_logger: object, _method: str, event_dict: EventDict) -> EventDict:
    """Blank what is secret in a line, by its name or by its looks."""
    return {name: _clean(name, value, DEPTH_MAX) for name, value in event_dict.items()}


def _renderer(target: TextIO, *, as_json: bool) -> Processor:
    if as_json:
        return structlog.processors.JSONRenderer(default=repr)
    console = structlog.dev.ConsoleRenderer(
        colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return lambda logger, method, event_dict: console(logger, method, _harmless(event_dict))


def _harmless(event_dict: EventDict) -> EventDict:
    """Write out what a terminal would obey; what is no text is written as Python writes it."""
    return {
        _written_out(name): _written_out(value, "\n\t" if name in _OF_LINES else "")
        if isinstance(value, str)
        else value
        for name, value in event_dict.items()
    }


def _written_out(text: str, kept: str = "") -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
        for char in text
    )


def _clean(name: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    pattern = _pattern(name)
    if depth == 0 or pattern is None:
        return BLANK
    if isinstance(value, str):
        return pattern.sub(BLANK, value)
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_clean(name, inner, depth - 1) for inner in value]
    return pattern.sub(BLANK, repr(value))


@lru_cache(maxsize=1024)
def _pattern(name: str) -> re.Pattern[str] | None:
    """What is secret in a value of that name; None where all of it is."""
    plain = name.lower().replace("-", "_")
    if _SECRET_NAME.fullmatch(plain):
        return None
    return _SECRET if _PUBLIC_NAME.fullmatch(plain) else _SECRET_OR_HASH
