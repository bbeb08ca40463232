"""The path check: what it lets through means one thing, however often it is decoded."""

from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gate.paths import path_problem

SAFE = (
    "/",
    "/v1",
    "/v1/",
    "/v1/chat/completions",
    "/v1/files/r%C3%A9sum%C3%A9.pdf",
    "/v1/a%20b",
    "/v1/100%25",
    "/v1/a%2Bb%3Ac",
    "/v1/...",
    "/v1/..a/b..",
    "/v1/a;b=c",
    "/v1/~user/@me/:x",
    "/v1/%E2%80%A6",
)

UNSAFE = (
    "",
    "*",
    "v1/x",
    "http://evil/v1",
    "//evil/v1",
    "/v1//x",
    "/..",
    "/v1/..",
    "/v1/../x",
    "/v1/./x",
    "/v1/.",
    "/v1/%2e%2e/x",
    "/v1/%2E./x",
    "/v1/.%2e",
    "/v1/%252e%252e/x",
    "/v1/%25252e%25252e/x",
    "/v1/..%2fx",
    "/v1/..%252fx",
    "/v1/%2f",
    "/v1/%2F%2e",
    "/v1/%5cx",
    "/v1/%255c",
    "/v1/..\\x",
    "/v1\\x",
    "/v1/..;/x",
    "/v1/..;a=b/x",
    "/v1/..%20/x",
    "/v1/%c0%ae%c0%ae/x",
    "/v1/%c0%af",
    "/v1/%ff",
    "/v1/%00",
    "/v1/%2500",
    "/v1/a%0d%0aX: y",
    "/v1/a%09",
    "/v1/a%7f",
    "/v1/\x00",
    "/v1/\x1f",
    "/v1/%",
    "/v1/%2",
    "/v1/%zz",
    "/v1/100%",
    "/v1/é",
    "/v1/%76ideos",
    "/v1/a%2db",
    "/v1/%31",
    "/v1/%2525252525252541",
)


@pytest.mark.parametrize("path", SAFE)
def test_ordinary_path_passes(path: str) -> None:
    """A path that means one thing passes as it is."""
    assert path_problem(path) is None


@pytest.mark.parametrize("path", UNSAFE)
def test_tricky_path_is_refused(path: str) -> None:
    """A path that could mean another thing to somebody else does not pass."""
    assert path_problem(path)


_PIECES = st.sampled_from(
    [
        "/",
        ".",
        "..",
        "%",
        "%2e",
        "%2E",
        "%2f",
        "%5c",
        "%25",
        "\\",
        ";",
        "%00",
        "a",
        "v1",
        "%c0%ae",
        " ",
    ]
)


@given(
    st.lists(_PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)) | st.text(max_size=20)
)
def test_what_passes_is_safe_at_every_layer(path: str) -> None:
    """Whatever passes has no dot segment and no second slash, however often it is decoded."""
    if path_problem(path) is not None:
        return
    slashes, text = path.count("/"), path.encode("ascii")
    for _ in range(12):
        assert text.count(b"/") == slashes
        assert b"//" not in text
        assert b"\\" not in text
        assert not any(byte < 0x20 or byte == 0x7F for byte in text)
        assert not any(part.strip() in (b".", b"..") for part in text.split(b"/"))
        text = unquote_to_bytes(text)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4))
def test_names_that_are_quoted_properly_pass(names: list[str]) -> None:
    """A client that quotes each segment as RFC 3986 says is let through, whatever the names."""
    encodable = [name.encode("utf-8", "replace").decode() for name in names]
    clean = [
        name
        for name in encodable
        if name.isprintable()
        and not set(name) & set("/\\%")
        and name.partition(";")[0].strip(" ") not in (".", "..")
    ]
    assert path_problem("/v1/" + "/".join(quote(name, safe="") for name in clean)) is None
