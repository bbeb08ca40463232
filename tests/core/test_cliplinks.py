"""Where a clip may be fetched from: what a provider may name, and what only looks as if."""

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from proxy.core.cliplinks import (
    LINK_CHARS_MAX,
    Link,
    Unfit,
    judge,
    named_link,
    printable_link,
)

OWN = "https://api.maker.example:8443/v1"
HERE = "http://127.0.0.1:99/api"
HOSTS = ("clips.example", "*.cdn.example")

GOOD = {
    "https://clips.example/a?b=c&d=%2F#part": "https://clips.example/a?b=c&d=%2F",
    "HTTPS://Clips.Example": "https://clips.example/",
    "https://clips.example:443/a": "https://clips.example/a",
    "https://a.cdn.example/x": "https://a.cdn.example/x",
    "https://a.b.cdn.example/x": "https://a.b.cdn.example/x",
    "https://api.maker.example:8443/x": "https://api.maker.example:8443/x",
    "https://api.maker.example/x": "https://api.maker.example/x",
    "/files/\u00e9 x.mp4": "https://api.maker.example:8443/files/%C3%A9%20x.mp4",
    "//clips.example/x": "https://clips.example/x",
    "x.mp4": "https://api.maker.example:8443/x.mp4",
    f"https://{'a' * 63}.cdn.example/x": f"https://{'a' * 63}.cdn.example/x",
    f"https://{'a.' * 121}cdn.example/x": f"https://{'a.' * 121}cdn.example/x",
    f"https://clips.example/{'x' * 8000}": f"https://clips.example/{'x' * 8000}",
}


@pytest.mark.parametrize(("url", "sent"), GOOD.items())
def test_good_link(url: str, sent: str) -> None:
    """What is sent is built from what was judged, its query as it was signed."""
    found = judge(url, OWN, HOSTS)
    assert isinstance(found, Link)
    assert (found.url, found.host) == (sent, urlsplit(sent).hostname)


BAD = {
    "https://cdn.example/x": "cdn.example is not allowed",
    "https://xcdn.example/x": "not allowed",
    "https://a.cdn.example.evil.example/x": "not allowed",
    "https://clips.example.:443/": "not allowed",
    "https://maker.example/": "not allowed",
    "https://127.0.0.1/": "not allowed",
    "https://[::1]/": "not allowed",
    "https://2130706433/": "not allowed",
    "http://clips.example/": "is http at port 80",
    "http://clips.example:443/": "is http at port 443",
    "https://clips.example:444/": "is https at port 444",
    "http://api.maker.example:8443/x": "is http at port 8443",
    "https://me@clips.example/": "names a user",
    "https://me:pw@clips.example/": "names a user",
    "https://@clips.example/": "names a user",
    "https://evil.example\\@clips.example/": "names a user",
    "https://clips.example\\.evil.example/": "no http(s) URL",
    "https://clips.example%2f.evil.example/": "no http(s) URL",
    "https://clips.example%00/": "no http(s) URL",
    "https://clips.example\n.evil.example/": "no http(s) URL",
    "https://\uff43lips.example/": "no http(s) URL",
    "https://.cdn.example/": "no http(s) URL",
    "https://a..cdn.example/": "no http(s) URL",
    "https://a..cd/": "no http(s) URL",
    "https://clips.example../": "no http(s) URL",
    f"https://{'a' * 64}.cdn.example/": "no http(s) URL",
    f"https://{'a.' * 122}cdn.example/": "no http(s) URL",
    f"https://clips.example/{'x' * LINK_CHARS_MAX}": "longer than 8192 characters",
    f"https://clips.example/{'é' * (LINK_CHARS_MAX // 5)}": "longer than 8192 characters",
    "https://clips.example:99999/": "no URL",
    "https://clips.example:x/": "no URL",
    "https://[clips.example/": "no URL",
    "ftp://clips.example/": "no http(s) URL",
    "data:video/mp4;base64,AAAA": "no http(s) URL",
    "file:///etc/passwd": "no http(s) URL",
}


@pytest.mark.parametrize(("url", "note"), BAD.items())
def test_bad_link(url: str, note: str) -> None:
    """It is refused, with the host's name where the config could let it in."""
    found = judge(url, OWN, HOSTS)
    assert isinstance(found, Unfit)
    assert note in found.note
    assert bool(found.host) is ("not allowed" in note)


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("http://127.0.0.1:99/x", True),
        ("/x", True),
        ("http://127.0.0.1:98/x", False),
        ("http://localhost:99/x", False),
        ("https://127.0.0.1:99/x", False),
        ("https://clips.example/x", True),
    ],
)
def test_provider_on_this_machine(url: str, is_good: bool) -> None:  # noqa: FBT001 - a table's column
    """Plain http is for its own origin and for nothing else on this machine."""
    assert isinstance(judge(url, HERE, HOSTS), Link) is is_good


@pytest.mark.parametrize("base", ["http://maker.example/v1", None])
def test_without_a_provider_that_vouches(base: str | None) -> None:
    """Plain http elsewhere, and a link of nobody's, are nothing to fetch; what is listed is."""
    assert isinstance(judge("http://maker.example/x", base, HOSTS), Unfit)
    assert isinstance(judge("/x", base, HOSTS), Unfit)
    assert isinstance(judge("https://clips.example/x", base, HOSTS), Link)


def test_own_address_of_version_6() -> None:
    """It keeps its brackets."""
    assert judge("/x", "http://[::1]:99", ()) == Link("http://[::1]:99/x", "::1")


@given(
    st.one_of(
        st.text(max_size=60),
        st.from_regex(r"https?://[a-z.@:\\\[\]%/?#0-9]{0,40}", fullmatch=True),
    )
)
@example("https://clips.example\\@evil.example")
@example("https://a.cdn.example:/x")
@example("https://a..cdn.example/x")
def test_whatever_is_named(url: str) -> None:
    """What is sent goes where it was judged to go, by the reading of the client that sends it."""
    found = judge(url, OWN, HOSTS)
    if isinstance(found, Link):
        sent = URL(found.url, encoded=True)
        assert found.host.encode("idna").decode() == found.host
        allowed = (*HOSTS[:1], "api.maker.example")
        assert sent.scheme == "https"
        assert sent.host == found.host
        assert sent.user is None
        assert found.host in allowed or found.host.endswith(".cdn.example")
        assert sent.port == (8443 if sent.explicit_port else 443)
    assert printable_link(url).isascii()
    assert printable_link(url).isprintable()


NAMED = {
    b'{"status": "completed", "data": [{"url": "https://a"}]}': "https://a",
    b'{"status": "completed", "data": [{"url": "https://a"}, {"url": "b"}], "x": 1}': "https://a",
    b'{"status": "failed", "data": [{"url": "https://a"}]}': None,
    b'{"status": "completed", "data": [{"url": ""}]}': None,
    b'{"status": "completed", "data": [{"url": 1}]}': None,
    b'{"status": "completed", "data": []}': None,
    b'{"status": "completed", "data": {"url": "a"}}': None,
    b'{"status": "completed"}': None,
    b"[]": None,
    b"": None,
    b"\xff": None,
    b"[" * 100_000: None,
}


@pytest.mark.parametrize(("answer", "link"), NAMED.items(), ids=range(len(NAMED)))
def test_link_of_an_answer(answer: bytes, link: str | None) -> None:
    """The first clip of a completed job; anything else names none."""
    assert named_link(answer) == link
