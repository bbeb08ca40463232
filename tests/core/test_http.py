"""Headers as bytes: looking up, dropping, and what belongs to one connection."""

import pytest

from proxy.core.http import HOP_BY_HOP, Request, end_to_end, get, get_all, without
from tests.core.bodies import Bytes

HEADERS = ((b"A", b"1"), (b"b", b"2"), (b"a", b"3"), (b"X\xff", b"\xfe"))


def test_looking_up() -> None:
    """Names are the same in any case; the first value, or all of them in order."""
    assert (get(HEADERS, b"a"), get(HEADERS, b"c")) == (b"1", None)
    assert get_all(HEADERS, b"a") == (b"1", b"3")
    assert without(HEADERS, frozenset({b"a"})) == HEADERS[1:2] + HEADERS[3:]


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop(name: bytes) -> None:
    """What speaks of one connection crosses none, in any case."""
    assert end_to_end((*HEADERS, (name.upper(), b"x"))) == HEADERS


@pytest.mark.parametrize(
    "named", [(b"close, A",), (b"a",), (b"A\t,close",), (b",,a,",), (b"keep-alive", b"A")]
)
def test_what_connection_names(named: tuple[bytes, ...]) -> None:
    """Whatever `Connection` names goes too, of several such headers as well."""
    headers = (*HEADERS, *((b"Connection", value) for value in named))
    assert end_to_end(headers) == HEADERS[1:2] + HEADERS[3:]


@pytest.mark.parametrize(("query", "target"), [(None, "/p"), ("", "/p?"), ("a=1&b", "/p?a=1&b")])
def test_target(query: str | None, target: str) -> None:
    """Path and query as a request line has them; an empty query is not none."""
    request = Request("r", "GET", "/p", query, (), Bytes(), "localhost")
    assert request.target == target
