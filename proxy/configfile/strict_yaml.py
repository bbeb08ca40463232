"""YAML without its traps: text becomes plain data with lines, or problems that say how to write it.

The parser's events are read here rather than by PyYAML's constructor, because that one takes
duplicate keys silently, follows aliases and tags, and reads `010` as 8, `1:30` as 90 and `no` as
false. Here:

- a mapping's keys are text, each once; anchors, aliases, tags, merge keys and a second document are
  problems;
- unquoted, `true` and `false` are booleans, `null`, `~` and nothing at all are null, `12` and `-3`
  are integers and `1.5` is a float (which nothing in the config wants: money is quoted);
- unquoted, whatever another reader might take for something else than it looks like is a problem:
  `010`, `0o10`, `0x1f`, `1_000`, `+5`, `.5`, `1e3`, `1:30`, `.inf`, dates, `yes`, `no`, `on`,
  `off`, `True`, `=`;
- everything else, and everything in quotes, is text. `127.0.0.1:8402`, `eip155:8453` and `1.2.3`
  need no quotes.

A problem leaves None in the data, so that the rest of the file can be looked at in the same go.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import yaml

from proxy.configfile.problems import Problem, join, may_be_shown

DEPTH_MAX: Final = 32
"""The config's own depth is 7; PyYAML is quadratic in nesting, so more is cut off early."""

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_FRACTION: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}", re.ASCII)
_PLAIN_DIGITS: Final = "write the number in plain decimal digits, or quote it if it is text"
_TRAPS: Final = (
    (r"0[xX][0-9a-fA-F_]+", "quote it: without quotes YAML reads 0x… as a number"),
    (
        r"(?i)yes|no|on|off",
        "YAML readers disagree on this word: write true or false, or quote it if it is text",
    ),
    (r"True|TRUE|False|FALSE", "write true or false in small letters, or quote it if it is text"),
    (r"Null|NULL", "write null in small letters, or quote it if it is text"),
    (
        r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?",
        "quote it: YAML reads digits with colons as base 60",
    ),
    (
        r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?",
        "quote it: without quotes YAML reads this as a date",
    ),
    (r"[-+]?\.(?i:inf|nan)", "this number has no use here"),
    (r"[-+]?0[oO]?[0-9_]+|[-+]?0b[01_]+", _PLAIN_DIGITS),
    (r"[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?", _PLAIN_DIGITS),
    (r"=|<<", "quote it: YAML has a meaning of its own for this"),
)
_TRAP_RULES: Final = tuple((re.compile(pattern, re.ASCII), message) for pattern, message in _TRAPS)
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Document:
    """What was read: plain data, the line of each value by its path, and what is wrong."""

    data: object = None
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def parse_yaml(text: str) -> Document:
    """Read one document; whatever is wrong with it as YAML is in its `problems`."""
    document = Document()
    reader = _Reader(yaml.parse(_json_tabs(text), Loader=yaml.SafeLoader), document)
    try:
        document.data = reader.document()
    except yaml.MarkedYAMLError as error:
        # Only the parser's own words: the excerpt that PyYAML would add may hold a secret.
        line = error.problem_mark.line + 1 if error.problem_mark else None
        document.problems.append(Problem("", f"not YAML: {error.problem or error.context}", line))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.problems.append(Problem("", "not YAML: a control character", line))
    except _TooDeep as error:
        document.problems.append(Problem("", f"nested deeper than {DEPTH_MAX} levels", error.line))
    return document


def _json_tabs(text: str) -> str:
    """Make JSON with tabs readable: YAML allows none, and in JSON a bare tab is only space."""
    if not text.lstrip().startswith("{") or "\t" not in text:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")


class _TooDeep(Exception):  # noqa: N818 - it leaves the recursion and goes no further than this module
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Reader:
    """Walk the events once, downward; every value knows its path."""

    def __init__(self, events: Iterator[yaml.Event], document: Document) -> None:
        self._events = events
        self._lines = document.lines
        self._problems = document.problems

    def document(self) -> object:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        data = self._value(next(self._events), "", 0)
        next(self._events)  # the end of the document
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            self._complain("", following, "only one document may stand in the file")
        return data

    def _value(self, event: yaml.Event, path: str, depth: int) -> object:
        if depth > DEPTH_MAX:
            raise _TooDeep(_line(event))
        self._lines.setdefault(path, _line(event))
        self._no_references(event, path)
        match event:
            case yaml.MappingStartEvent():
                return self._mapping(path, depth)
            case yaml.SequenceStartEvent():
                return self._sequence(path, depth)
            case yaml.ScalarEvent():
                return self._scalar(event, path)
        return None  # an alias

    def _no_references(self, event: yaml.Event, path: str) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._complain(path, event, "aliases (*name) are not read here: write the value out")
        elif getattr(event, "anchor", None) is not None:
            self._complain(path, event, "anchors (&name) are not read here: write the value out")
        if getattr(event, "tag", None) is not None:
            self._complain(path, event, "tags (!name) are not read here")

    def _mapping(self, path: str, depth: int) -> dict[str, object]:
        data: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path, depth)
            if key is None:
                self._skip(next(self._events), depth)
                continue
            inner = join(path, key)
            if key in data:
                first = self._lines[inner]
                shown = inner if may_be_shown(path, key) else path
                self._complain(shown, event, f"the same key stands twice: first on line {first}")
                self._skip(next(self._events), depth)
                continue
            self._lines[inner] = _line(event)
            data[key] = self._value(next(self._events), inner, depth + 1)
        return data

    def _key(self, event: yaml.Event, path: str, depth: int) -> str | None:
        """The key as text; None if it cannot be one, and then that is said."""
        before = len(self._problems)
        self._no_references(event, path)
        if not isinstance(event, yaml.ScalarEvent):
            self._skip(event, depth)
            if len(self._problems) == before:
                self._complain(path, event, "a key is text")
            return None
        if _is_plain(event) and event.value == "<<":
            self._complain(path, event, "merge keys (<<) are not read here: write the settings out")
            return None
        value = self._scalar(event, path)
        if isinstance(value, str):
            return value
        if len(self._problems) == before:
            self._complain(path, event, "a key is text: quote it")
        return None

    def _sequence(self, path: str, depth: int) -> list[object]:
        data: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            data.append(self._value(event, join(path, len(data)), depth + 1))
        return data

    def _scalar(self, event: yaml.ScalarEvent, path: str) -> object:
        try:
            return _plain(event.value) if _is_plain(event) else _text(event.value)
        except ValueError as problem:
            self._complain(path, event, str(problem))
            return None

    def _skip(self, event: yaml.Event, depth: int) -> None:
        """Pass over a value that has no place in the data."""
        open_nodes = 0
        while True:
            open_nodes += isinstance(event, yaml.CollectionStartEvent)
            open_nodes -= isinstance(event, yaml.CollectionEndEvent)
            if depth + open_nodes > DEPTH_MAX:
                raise _TooDeep(_line(event))
            if open_nodes == 0:
                return
            event = next(self._events)

    def _complain(self, path: str, event: yaml.Event, message: str) -> None:
        self._problems.append(Problem(path, message, _line(event)))


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _is_plain(event: yaml.ScalarEvent) -> bool:
    return bool(event.implicit[0]) and event.tag is None


def _plain(text: str) -> object:
    """What a word without quotes means; ValueError says how to write it where that is uncertain."""
    if text in _WORDS:
        return _WORDS[text]
    for pattern, kind in _KINDS:
        if pattern.fullmatch(text):
            return kind(text)
    for pattern, message in _TRAP_RULES:
        if pattern.fullmatch(text):
            raise ValueError(message)
    return _text(text)


_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
_KINDS: Final[tuple[tuple[re.Pattern[str], Callable[[str], object]], ...]] = (
    (_NUMBER, int),
    (_FRACTION, float),
)


def _text(text: str) -> str:
    """Join the two halves of JSON's escaped surrogate pairs, which PyYAML leaves apart."""
    if _SURROGATES.search(text) is None:
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ValueError("half of an escaped pair (\\ud8…): not a character") from None
