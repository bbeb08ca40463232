"""The callback at the door: what comes in there goes to one place, and its secret into no log."""

import pytest

from proxy.core.errors import Refusal, Refused
from proxy.core.http import Reply
from proxy.gate.handler import no_callback
from tests.gate.rig import House, opened

STATE = "s3cret-state"
PATH = f"/v1/portrait/callback/{STATE}"
TOLD = "/v1/portrait/callback/…"


class Phones:
    """Whoever answers phones; `called` is what they brought."""

    def __init__(self) -> None:
        self.called: list[tuple[str, str | None]] = []
        self.refusal: Refusal | None = None
        self.broken = False

    async def __call__(self, state: str, query: str | None) -> Reply:
        """Answer one."""
        self.called.append((state, query))
        if self.broken:
            raise RuntimeError("a bug")
        if self.refusal is not None:
            raise Refused(self.refusal)
        return Reply(200, "OK", ((b"X-Phone", b"yes"),), b"done", {"session": "ps_1"})


async def ask(house: House, line: str, host: str = "HOST") -> tuple[int, bytes]:
    """Say a request line, and read the answer."""
    heard = await house.ask(
        f"{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    return heard.status, heard.body


@pytest.mark.parametrize(
    ("line", "status", "called"),
    [
        (f"GET {PATH}?a=1&b=%3C", 200, [(STATE, "a=1&b=%3C")]),
        (f"GET {PATH}", 200, [(STATE, None)]),
        (f"GET /api{PATH}?", 200, [(STATE, "")]),
        (f"GET {PATH}/more", 200, [(f"{STATE}/more", None)]),
        ("GET /v1/portrait/callback/", 200, [("", None)]),
        (f"HEAD {PATH}", 405, []),
        (f"POST {PATH}", 405, []),
        (f"PUT /api{PATH}", 405, []),
        (f"DELETE {PATH}", 405, []),
        (f"OPTIONS {PATH}", 405, []),
        (f"TRACE {PATH}", 405, []),
        (f"GET /v1/portrait/%63allback/{STATE}", 400, []),
        (f"GET /v1/portrait//callback/{STATE}", 400, []),
        (f"GET http://me.example{PATH}", 400, []),
        (f"GET {PATH}/../x", 400, []),
        (f"GET /v1/portrait/./callback/{STATE}", 400, []),
        (f"GET {PATH}?a b", 400, []),
    ],
)
async def test_what_reaches_the_phones(
    line: str, status: int, called: list[tuple[str, str | None]]
) -> None:
    """A GET of the path does, as it was written; nothing there ever goes to a provider.

    Whatever became of it, the log does not know its state.
    """
    phones = Phones()
    async with opened(callback=phones) as house:
        assert (await ask(house, line))[0] == status
        assert phones.called == called
        assert house.served == []
        written = await house.log.line()
        assert STATE not in str(written)
        assert STATE not in house.metrics.render().decode()
        if " /v1/portrait/callback" in line or " /api" in line:
            assert written["path"] in (TOLD, "")


async def test_refused_hosts_and_the_log(house: House) -> None:
    """A host that is not ours is refused, and the state that it brought is not told either."""
    assert (await ask(house, f"GET {PATH}", "evil.example"))[0] == 421
    assert (await ask(house, f"GET /V1/Portrait/Callback/{STATE}", "evil.example"))[0] == 421
    for number in range(2):
        assert (await house.log.line(number))["path"] == TOLD


async def test_path_made_to_be_searched(house: House) -> None:
    """A path of many beginnings of a callback's, and one that turns into one, are told or not."""
    many = "/" + "portrait/" * 7000
    assert (await ask(house, f"GET {many}", "evil.example"))[0] == 421
    assert (await house.log.line())["path"] == many
    assert (await ask(house, f"GET {many}%43allback/{STATE}", "evil.example"))[0] == 400
    assert (await house.log.line(1))["path"] == TOLD


async def test_line_of_a_callback() -> None:
    """It says which session it was, and no provider's."""
    async with opened(callback=Phones()) as house:
        await ask(house, f"GET {PATH}")
        written = await house.log.line()
        assert (written["session"], written["status"]) == ("ps_1", 200)
        assert '"2xx",error="",provider="farebox"} 1.0' in house.metrics.render().decode()


async def test_door_that_nobody_is_called_back_at(house: House) -> None:
    """It is a 404 there, and no provider's affair."""
    status, body = await ask(house, f"GET {PATH}")
    assert (status, b"no_route" in body) == (404, True)
    assert house.served == []
    with pytest.raises(Refused):
        await no_callback("", None)


async def test_bug_behind_the_callback() -> None:
    """It does not close the door, and neither answer nor log tells the state."""
    phones = Phones()
    phones.broken = True
    async with opened(callback=phones) as house:
        status, body = await ask(house, f"GET {PATH}")
        assert (status, STATE.encode() in body) == (500, False)
        assert len(house.log.faults) == 1
        phones.broken, phones.refusal = False, Refusal("ledger_unavailable", "no disk")
        assert (await ask(house, f"GET {PATH}"))[0] == 503
        assert STATE not in str(house.log.lines)
