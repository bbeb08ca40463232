"""JSON with one meaning: what is read can be written again, and reads the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.strict_json import DEPTH_MAX, NoJson, NotStrictJson, loads

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)


def nested(levels: int, *, lists: bool) -> Any:
    """A value that many levels deep."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if lists else {"x": value}
    return value


@given(value=values, ascii_only=st.booleans())
def test_round_trip(*, value: Any, ascii_only: bool) -> None:
    """Whatever JSON can say is read as it was, as text and as bytes."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert loads(text) == loads(text.encode()) == value


@given(st.text(max_size=40) | st.binary(max_size=40))
def test_anything_at_all(data: str | bytes) -> None:
    """Garbage is refused by one error, and whatever is read can be written."""
    try:
        value = loads(data)
    except NotStrictJson:
        return
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize("lists", [True, False])
def test_depth(*, lists: bool) -> None:
    """Sixteen levels and no more, of lists as of objects."""
    assert loads(json.dumps(nested(DEPTH_MAX, lists=lists))) == nested(DEPTH_MAX, lists=lists)
    with pytest.raises(NotStrictJson, match="deeper than 16"):
        loads(json.dumps(nested(DEPTH_MAX + 1, lists=lists)))


@pytest.mark.parametrize("depth", [1_000, 10_000, 1_000_000])
@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":['])
def test_abyss(opening: str, depth: int) -> None:
    """However deep, it is an error of ours and no crash."""
    with pytest.raises(NotStrictJson):
        loads(opening * depth)


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"\\\\ud800"', '{"\\u00e9": "\\n"}'])
def test_escapes_that_are_fine(text: str) -> None:
    """A whole pair is a character, and a backslash may stand for itself."""
    assert loads(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    ['"\\ud83d"', '"\\ude00\\ud83d"', '["\\uDFFF"]', '{"\\ud800": 1}', "1e400", "-1e400", "[1e309]",
     "NaN", "Infinity", "-Infinity", '{"a":1,"a":1}', '{"a":1,"\\u0061":2}', "9" * 4301],
)  # fmt: skip
def test_two_meanings_or_none(text: str) -> None:
    """Half characters, numbers past every float, keys that stand twice."""
    with pytest.raises(NotStrictJson) as caught:
        loads(text)
    assert "9999" not in str(caught.value)


@pytest.mark.parametrize("text", ['"\\ud83d"', '{"a": "\\ude00\\ud83d"}'])
def test_halves_that_are_not_echoed(text: str) -> None:
    """Who does not write it again may read half a character."""
    assert loads(text, halves=True) == json.loads(text)


@pytest.mark.parametrize(
    ("data", "is_none"),
    [
        (b"", True), (b"{", True), (b"name=x", True), (b"{'a': 1}", True), (b'"a\nb"', True),
        (b"{} {}", False), (b"1 x", False), (b"\xff", False), (b"NaN", False), (b"9" * 4301, False),
        (b'{"a":1,"a":1}', False), (b"[" * 10_000, False), (b"[" * 17 + b"]" * 17, False),
    ],
)  # fmt: skip
def test_no_json_to_anybody(data: bytes, *, is_none: bool) -> None:
    """What no reader of JSON takes is told apart from what some of them may take."""
    with pytest.raises(NotStrictJson) as caught:
        loads(data)
    assert isinstance(caught.value, NoJson) == is_none


def test_another_depth() -> None:
    """Who asks may say how deep is deep."""
    text = json.dumps(nested(40, lists=True))
    assert loads(text, depth_max=40) == json.loads(text)
    with pytest.raises(NotStrictJson, match="deeper than 39"):
        loads(text, depth_max=39)


def test_numbers_near_the_edge() -> None:
    """The largest float is one, and the smallest becomes zero as everywhere."""
    assert loads("[1.7976931348623157e308, 1e-400]") == [1.7976931348623157e308, 0.0]
