"""Links in a JSON answer: the few values that change, and every byte that does not."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.links import FIELDS, rewrite_links

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.sampled_from([*sorted(FIELDS), "url", "id", "video", "é"]) | texts
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def marked(link: str) -> str:
    """A rewriting that can be seen."""
    return f"ours:{link}"


def rewritten(text: str) -> str:
    """What becomes of an answer."""
    return rewrite_links(text.encode("utf-8", "surrogatepass"), marked).decode()


@given(
    document=st.dictionaries(names, values, max_size=5),
    indent=st.none() | st.integers(0, 3),
    ascii_only=st.booleans(),
    around=st.text(" \t\r\n", max_size=3),
)
def test_any_answer(
    document: dict[str, Any], indent: int | None, *, ascii_only: bool, around: str
) -> None:
    """The link fields of the top level are rewritten, and nothing else means anything else."""
    text = around + json.dumps(document, indent=indent, ensure_ascii=ascii_only) + around
    expected = {
        key: marked(value) if key in FIELDS and isinstance(value, str) else value
        for key, value in document.items()
    }
    assert json.loads(rewritten(text)) == expected
    assert list(json.loads(rewritten(text))) == list(document)


@given(document=st.dictionaries(names, values, max_size=5), indent=st.none() | st.integers(0, 3))
def test_every_other_byte(document: dict[str, Any], indent: int | None) -> None:
    """Between the values that change every byte stays, and all of them where none does."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    assert rewrite_links(text.encode(), lambda _: None) == text.encode()
    values = [json.dumps(v, ensure_ascii=False) for k, v in document.items()
              if k in FIELDS and isinstance(v, str)]  # fmt: skip
    rest = rewritten(text)
    for value in values:
        new = json.dumps(marked(json.loads(value)), ensure_ascii=False)
        assert new in rest
        rest = rest.replace(f": {new}", f": {value}", 1)
    assume(len(set(values)) == len(values))
    assert rest == text


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes(body: bytes) -> None:
    """Whatever a provider sends comes back, whole."""
    assert rewrite_links(body, lambda _: None) == body


def test_in_place() -> None:
    """Spacing, order, escapes, numbers and a key that stands twice stay as they were."""
    text = (
        ' {"id" : "\\u00e9\\/x", "n":1.10, "big":123456789012345678901234567890,\r\n'
        '\t"poll_url":"/a\\/b" ,"poll_url": "/c","x":{"poll_url":"/d"},"status_url":null } \n'
    )
    assert rewritten(text) == text.replace('"/a\\/b"', '"ours:/a/b"').replace('"/c"', '"ours:/c"')


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "null", "[]", '["poll_url"]', '"poll_url"', "{", '{"poll_url"', '{"poll_url":',
        '{"poll_url":"/a"', '{"poll_url":"/a",', '{"poll_url":"/a"]', '{"poll_url" "/a"}', "{]",
        '{"poll_url":"/a" "x":1}', '{poll_url:"/a"}', "{1:2}", "\ufeff{}",
        '{"a":nul,"poll_url":"/a"}',
        '{"poll_url":"/a", "x": ' + "[" * 100_000,
        '{"poll_url":"/a", "n": ' + "9" * 5000 + "}",
        '{"n": ' + "9" * 5000 + ', "poll_url":"/a"}',
    ],
)  # fmt: skip
def test_what_is_not_read(text: str) -> None:
    """No object, half an object, or more than Python reads: it goes through as it came."""
    assert rewritten(text) == text


@pytest.mark.parametrize(
    "body", [b"\xff\xfe{", b'{"poll_url":"/\xff"}', b'{"a":1}'.ljust(9, b"\x00")]
)
def test_bytes_that_are_no_text(body: bytes) -> None:
    """Broken UTF-8 goes through as it came."""
    assert rewrite_links(body, marked) == body


def test_half_a_character() -> None:
    """A link with half a surrogate pair in it costs nobody an answer that was paid for."""
    text = '{"poll_url": "/\\ud800é", "x": "\\udfff"}'
    expected = '{"poll_url": "ours:/\\ud800\\u00e9", "x": "\\udfff"}'
    assert rewritten(text) == expected
    assert rewritten('{"poll_url": "/é"}') == '{"poll_url": "ours:/é"}'


@pytest.mark.parametrize("value", ["null", "1", "true", '["/a"]', '{"poll_url":"/a"}'])
def test_links_that_are_no_strings(value: str) -> None:
    """Only strings are links."""
    text = f'{{"poll_url": {value}}}'
    assert rewritten(text) == text
