"""Strict YAML: what is refused, where the report points, and what is read as it stands."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.configfile import ConfigError, parse_config
from proxy.configfile.strict_yaml import DEPTH_MAX, parse_yaml
from tests.config.conftest import MINIMAL

PLAIN_DIGITS = "plain decimal digits"

REFUSED = {
    # what is appended to the minimal config: (the path, the line, a part of the sentence)
    "a key twice": ('caps: {day: "3.00"}', "caps", 4, "twice: first on line 1"),
    "a key twice, deep": ("limits:\n  drain_s: 1\n  drain_s: 2", "limits.drain_s", 6, "line 5"),
    "an anchor": ("limits: &x {drain_s: 1}", "limits", 4, "anchors"),
    "an alias": ("limits: *x", "limits", 4, "aliases"),
    "a tag": ('default_provider: !!str "blockrun"', "default_provider", 4, "tags"),
    "a tag of one's own": ("limits: !python {drain_s: 1}", "limits", 4, "tags"),
    "a merge key": ("limits:\n  <<: {drain_s: 1}", "limits", 5, "merge keys"),
    "a second document": ("---\nlimits: {}", "", 4, "only one document"),
    "a number for a key": ("8453: x", "", 4, "a key is text"),
    "a list for a key": ("? [a, {b: c}]\n: x", "", 4, "a key is text"),
    "a word for a key": ("on: x", "", 4, "readers disagree"),
    "an octal number": ("limits: {drain_s: 010}", "limits.drain_s", 4, PLAIN_DIGITS),
    "a new octal number": ("limits: {drain_s: 0o10}", "limits.drain_s", 4, PLAIN_DIGITS),
    "a binary number": ("limits: {drain_s: 0b11}", "limits.drain_s", 4, PLAIN_DIGITS),
    "a hexadecimal number": ("limits: {drain_s: 0x10}", "limits.drain_s", 4, "quote it"),
    "underscores": ("limits: {drain_s: 1_0}", "limits.drain_s", 4, PLAIN_DIGITS),
    "a plus": ("limits: {drain_s: +5}", "limits.drain_s", 4, PLAIN_DIGITS),
    "half a fraction": ("limits: {drain_s: .5}", "limits.drain_s", 4, PLAIN_DIGITS),
    "an exponent": ("limits: {drain_s: 1e1}", "limits.drain_s", 4, PLAIN_DIGITS),
    "too many digits": (f"limits: {{drain_s: {'9' * 30}}}", "limits.drain_s", 4, PLAIN_DIGITS),
    "base 60": ("limits: {drain_s: 1:30}", "limits.drain_s", 4, "base 60"),
    "infinity": ("limits: {drain_s: .inf}", "limits.drain_s", 4, "no use"),
    "not a number": ("limits: {drain_s: -.NaN}", "limits.drain_s", 4, "no use"),
    "yes": ("  x: {kind: http, base_url: 'https://x', cookies: yes}", "providers.x.cookies", 4, ""),
    "Off": ("  x: {kind: http, base_url: 'https://x', cookies: Off}", "providers.x.cookies", 4, ""),
    "True": (
        "  x: {kind: http, base_url: 'https://x', cookies: True}",
        "providers.x.cookies",
        4,
        "",
    ),
    "NULL": ("public_url: NULL", "public_url", 4, "null"),
    "a date": ("default_provider: 2026-01-02", "default_provider", 4, "date"),
    "a date and time": ("default_provider: 2026-01-02T03:04:05Z", "default_provider", 4, "date"),
    "an equals sign": ("default_provider: =", "default_provider", 4, "quote it"),
    "a fraction": ("limits: {drain_s: 1.5}", "limits.drain_s", 4, "whole number"),
    "a bare address": (
        "  x: {kind: http, base_url: 'https://x', pay: {pay_to: [0x" + "a" * 40 + "]}}",
        "providers.x.pay.pay_to[0]",
        4,
        "quote it",
    ),
    "bare money": (
        "  x: {kind: http, base_url: 'https://x', caps: {day: 20}}",
        "providers.x.caps.day",
        4,
        "quoted",
    ),
    "bare money, a fraction": (
        "  x: {kind: http, base_url: 'https://x', caps: {day: 20.00}}",
        "providers.x.caps.day",
        4,
        "quoted",
    ),
    "half a pair": ('default_provider: "\\ud83d"', "default_provider", 4, "not a character"),
    "not YAML": ("limits: [1", "", 5, "not YAML"),
    "a tab": ("limits:\n\tdrain_s: 1", "", 5, "not YAML"),
    "a control character": ("limits: \x01", "", 4, "control character"),
}


def problems_of(text: str | bytes) -> list[tuple[str, int | None, str]]:
    """The report on a config, as (path, line, sentence)."""
    source = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigError) as caught:
        parse_config(source, Path("/nowhere/config.yaml"))
    return [(problem.path, problem.line, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize(("added", "path", "line", "part"), REFUSED.values(), ids=REFUSED)
def test_trap_is_refused_with_its_place(added: str, path: str, line: int, part: str) -> None:
    """Each trap is one problem, with its path in the file, its line, and how to write it."""
    ((found_path, found_line, message),) = problems_of(MINIMAL + added + "\n")
    assert (found_path, found_line) == (path, line)
    assert part in message


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "null\n", "~", "\ufeff"])
def test_empty_file_is_a_problem(text: str) -> None:
    """An empty file is no config, rather than one of defaults."""
    ((path, _, message),) = problems_of(text)
    assert path == ""
    assert "empty" in message


@pytest.mark.parametrize("text", ["- a\n", "a\n", "12\n", '"caps"\n'])
def test_file_that_is_no_mapping(text: str) -> None:
    """A list or a word is no config."""
    ((path, line, message),) = problems_of(text)
    assert (path, line) == ("", 1)
    assert "expected settings" in message


def test_bytes_that_are_no_utf8() -> None:
    """Another encoding is refused, with the line of the first foreign byte."""
    ((_, line, message),) = problems_of(MINIMAL.encode() + b"# caf\xe9\n")
    assert line == 4
    assert "not UTF-8" in message


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 500, "? " * 500, "? [" * 500])
def test_depth_is_bounded(text: str) -> None:
    """A file nested without end is refused at once, by a line and not by a crash."""
    assert f"nested deeper than {DEPTH_MAX} levels" in problems_of(text)[-1][2]


def test_all_problems_at_once() -> None:
    """What YAML refuses and what the model refuses stand in one report, in the file's order."""
    text = (
        "caps: {per_request: 1, day: none, fortnight: none}\n"
        "providers:\n"
        "  a: {kind: ftp, base_url: nowhere}\n"
        "limits: {drain_s: 010, header_s: -1}\n"
        "limits: {}\n"
        "routes: [{path: /x/*/y, provider: a}]\n"
    )
    assert [(path, line) for path, line, _ in problems_of(text)] == [
        ("caps.per_request", 1),
        ("caps.fortnight", 1),
        ("providers.a.kind", 3),
        ("providers.a.base_url", 3),
        ("limits.drain_s", 4),
        ("limits", 5),
        ("routes[0].path", 6),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-3", -3),
        ("12", 12),
        ("1.5", 1.5),
        ("none", "none"),
        ("127.0.0.1:8402", "127.0.0.1:8402"),
        ("[::1]:8402", None),
        ("eip155:8453", "eip155:8453"),
        ("1.2.3", "1.2.3"),
        ("~/x", "~/x"),
        ("y", "y"),
        ("-", None),
        ("'010'", "010"),
        ('"yes"', "yes"),
        ('"0x10"', "0x10"),
        ('"\\ud83d\\ude00"', "😀"),
        ("|\n  12\n", "12\n"),
    ],
)
def test_scalar_is_read_as_it_stands(text: str, value: object) -> None:
    """A plain word means what it looks like, and quotes always make text."""
    document = parse_yaml(f"a: {text}")
    if document.problems:
        assert text in ("[::1]:8402", "-")
    else:
        assert document.data == {"a": value}
        assert type(document.data["a"]) is type(value)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=30)
leaves = st.none() | st.booleans() | st.integers(-(10**18) + 1, 10**18 - 1) | texts
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(texts, trees, max_size=5), st.sampled_from([None, 2, "\t"]))
def test_json_is_yaml(value: dict[str, Any], indent: int | str | None) -> None:
    """Whatever JSON says is read as JSON would read it, with spaces, tabs or neither."""
    document = parse_yaml(json.dumps(value, indent=indent))
    assert document.problems == []
    assert document.data == value
