"""What is read of real people: strangers' JSON, and the query that a stranger's phone brings."""

from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Refusal
from proxy.providers import LORE, people
from proxy.providers.lore import NO_LORE, NativeCall, Opened, Verification
from proxy.providers.people import LINK_CHARS_MAX, Verdict, verdict

DOCUMENTED = (
    "resultCode=10000&group_id=group-20260619145855-snq4q&verify_type=real_time"
    "&algorithmBaseRespCode=0&reqMeasureInfoValue=1"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_documented_redirect() -> None:
    """PomexAI's own example names the person's group."""
    assert verdict(DOCUMENTED) == Verdict("group-20260619145855-snq4q")


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126)))
def test_any_query(query: str) -> None:
    """It is a result or none, and what is told of it is harmless and short."""
    found = verdict(query)
    if found is None:
        return
    if found.group_id is not None:
        assert people.group(found.group_id) == found.group_id
    assert len(found.reason) <= 120
    assert set(found.reason) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-?, "
    )


WORDS = st.sampled_from(["resultCode", "group_id", "verify_type", "x"])
VALUES = st.sampled_from(["10000", "60000", "", "pre_record", "real_time", "group-1", "a b"])


@given(st.lists(st.tuples(WORDS, VALUES), max_size=6))
def test_group_is_read_beside_its_code_alone(pairs: list[tuple[str, str]]) -> None:
    """Only of the exact code, with every parameter there once, and of no recording."""
    found = verdict(urlencode(pairs))
    said = dict(pairs)
    good = (
        len(said) == len(pairs)
        and said.get("resultCode") == "10000"
        and said.get("verify_type") != "pre_record"
        and said.get("group_id") not in (None, "", "a b")
    )
    assert (found is not None and found.group_id is not None) is good


@given(JSON)
def test_any_json(value: Any) -> None:
    """Whatever stands where a link, a group or a lifetime should, nothing raises."""
    link, group = people.link(value), people.group(value)
    assert link is None or link.lower().startswith(("http://", "https://"))
    assert group is None or quote(group, safe=":") == group
    assert 0 < people.seconds(value, 120) <= people.SECONDS_MAX
    answer = {"h5_link": value, "group_id": value, "expires_in_seconds": value, "status": value}
    for lore in LORE.values():
        lore.session_opened(answer)
        lore.session_verified(answer | {"ready_to_finalize": value})


@pytest.mark.parametrize(
    ("link", "good"),
    [
        ("https://kyc.byteintl.com/?a=b&lang=en", True),
        ("HTTP://127.0.0.1:8000/h5/x", True),
        ("https://x.example/" + "a" * (LINK_CHARS_MAX - 18), True),
        ("https://x.example/" + "a" * (LINK_CHARS_MAX - 17), False),
        ("https://[::1", False),
        ("https:///x", False),
        ("data:text/html,x", False),
    ],
)
def test_links(link: str, *, good: bool) -> None:
    """A phone can open what begins with http(s) and names a host."""
    assert (people.link(link) == link) is good


BLOCKRUN = LORE["blockrun"]
POMEX = LORE["pomex"]


def test_blockrun() -> None:
    """RealFace's init, for a new person and for one whose group is there, and its status."""
    assert BLOCKRUN.session_call(Verification("Rachel")) == NativeCall(
        "POST", "/v1/realface/init", {"name": "Rachel"}
    )
    assert BLOCKRUN.session_call(Verification("Rachel", group_id="legacy_rf_1")) == NativeCall(
        "POST", "/v1/realface/init", {"name": "Rachel", "groupId": "legacy_rf_1"}
    )
    begun = {"h5_link": "https://h5/x", "group_id": "legacy_rf_1", "expires_in_seconds": 90}
    assert BLOCKRUN.session_opened(begun) == Opened("https://h5/x", 90, "legacy_rf_1")
    poll = NativeCall("GET", "/v1/realface/status", query="groupId=a%3A1")
    assert BLOCKRUN.session_poll("a:1") == poll
    assert BLOCKRUN.session_verified({"status": "pending_validation", "ready_to_finalize": True})
    assert BLOCKRUN.session_verified({"status": "active"})
    assert not BLOCKRUN.session_verified({"status": "pending_validation"})


def test_pomex() -> None:
    """A session with the callback and the language; there is nothing to ask afterwards."""
    wanted = Verification("Rachel", "https://me.example/x", "en", "group-1")
    body = {"callback_url": "https://me.example/x", "lang": "en"}
    assert POMEX.session_call(wanted) == NativeCall("POST", "/v1/video/assets/sessions", body)
    assert POMEX.session_opened({"h5_link": "https://h5/x"}) == Opened("https://h5/x", 1800)
    assert POMEX.session_poll("group-1") is None
    assert POMEX.session_verified({"status": "active"}) is False


@pytest.mark.parametrize(
    ("kind", "wanted", "code"),
    [
        ("blockrun", Verification("x", lang="en"), "field_not_supported"),
        ("blockrun", Verification("x", "https://me.example"), "field_not_supported"),
        ("pomex", Verification("x"), "bad_request"),
    ],
)
def test_what_cannot_be_asked(kind: Any, wanted: Verification, code: str) -> None:
    """The refusal names the field."""
    refusal = LORE[kind].session_call(wanted)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert refusal.message.startswith(("lang:", "callback_url:"))


def test_others() -> None:
    """They document no verification."""
    for lore in (NO_LORE, LORE["sunra"]):
        assert lore.session_call(Verification("x")) is None
        assert lore.session_opened({"h5_link": "https://h5/x"}) is None
        assert lore.session_poll("g") is None
        assert lore.session_verified({"status": "active"}) is False
